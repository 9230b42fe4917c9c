import type { Platform } from "../oci/index.ts";
import type { OptionTable } from "./option.ts";
import { boolean, path, platform, username } from "./parsers.ts";

/** What the flags say that all commands have which talk to registries themselves. Where `oras` has such a flag, it is named alike. */
export interface ClientValues {
  readonly plainHttp: boolean;
  readonly insecure: boolean;
  readonly caFile: string | undefined;
  readonly registryConfig: string | undefined;
  readonly username: string | undefined;
  readonly passwordStdin: boolean;
  readonly platform: Platform | undefined;
}

/** The options of commands that talk to registries: each has these, and its own after them. */
export const clientOptions: OptionTable<ClientValues> = {
  plainHttp: {
    description: "http instead of https",
    parser: boolean(),
    defaultValue: false,
    defaultText: "false",
  },
  insecure: {
    description: "https without verifying the certificate",
    parser: boolean(),
    defaultValue: false,
    defaultText: "false",
  },
  caFile: {
    description: "PEM file of roots added to the built-in ones, for registries and token servers",
    parser: path(),
    defaultValue: undefined,
    defaultText: "unset",
  },
  registryConfig: {
    description: "docker config.json with credentials",
    parser: path(),
    defaultValue: undefined,
    defaultText: "config.json in $DOCKER_CONFIG or ~/.docker, if it is there",
  },
  username: {
    description: "user name, shown to the registry before what a config.json says; needs --password-stdin",
    parser: username(),
    defaultValue: undefined,
    defaultText: "unset",
    short: "u",
  },
  passwordStdin: {
    description: "read the password, or token, from standard input",
    parser: boolean(),
    defaultValue: false,
    defaultText: "false",
  },
  platform: {
    description: "os/arch[/variant]: what to take from an index",
    parser: platform(),
    defaultValue: undefined,
    defaultText: "this machine's",
  },
};
