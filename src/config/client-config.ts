import { posix } from "node:path";
import { DriverError } from "../base/index.ts";
import { type Platform, parseReference, type Reference } from "../oci/index.ts";
import type { ClientValues } from "./client-options.ts";
import { collectValues } from "./collect-values.ts";
import { flagTexts } from "./flag-texts.ts";
import type { OptionTable } from "./option.ts";
import { quoted, UsageError } from "./usage-error.ts";

/** Which registry's artifact a command is about, and how it gets at it. Paths are absolute. */
export interface ClientConfig {
  readonly reference: Reference;
  readonly transport: "https" | "insecure" | "http";
  readonly caFile: string | undefined;
  readonly registryConfig: RegistryConfig;
  /** Whose password comes on standard input; undefined: nobody's. */
  readonly username: string | undefined;
  /** Undefined: this machine's. */
  readonly platform: Platform | undefined;
}

/** A docker config.json that was asked for, or the first of these that is there. */
export type RegistryConfig = { readonly path: string } | { readonly usual: readonly string[] };

/** What a command line of a client command is read from. */
export interface ClientInput {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
}

/**
 * Reads a command line of flags and one REFERENCE: how its artifact is got at, and all values of the command's own
 * table. Throws a `UsageError`.
 */
export function parseClientCommand<Values extends ClientValues>(
  table: OptionTable<Values>,
  { argv, env, cwd }: ClientInput,
): { readonly client: ClientConfig; readonly values: Values } {
  const { texts, words } = flagTexts(argv, table);
  const values = collectValues(table, [texts]);
  const { username, passwordStdin, plainHttp, insecure, caFile, registryConfig, platform } = values;
  if ((username !== undefined) !== passwordStdin) {
    throw new UsageError("--username and --password-stdin need each other: a name and its password on standard input");
  }
  const given = registryConfig === undefined ? undefined : { path: posix.resolve(cwd, registryConfig) };
  const client = {
    reference: referenceIn(words),
    transport: plainHttp ? ("http" as const) : insecure ? ("insecure" as const) : ("https" as const),
    caFile: caFile === undefined ? undefined : posix.resolve(cwd, caFile),
    registryConfig: given ?? { usual: usualConfigs(env, cwd) },
    username,
    platform,
  };
  return { client, values };
}

function referenceIn([text, ...others]: readonly string[]): Reference {
  if (text === undefined) throw new UsageError("no REFERENCE is given: registry/repository[:tag][@digest]");
  if (others[0] !== undefined) throw new UsageError(`unexpected argument ${quoted(others[0])}: one REFERENCE is taken`);
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof DriverError) throw new UsageError(error.message);
    throw error;
  }
}

/** Where `docker login` and `oras login` write. */
function usualConfigs({ DOCKER_CONFIG: folder, HOME: home }: ClientInput["env"], cwd: string): readonly string[] {
  if (folder) return [posix.resolve(cwd, folder, "config.json")];
  return home ? [posix.resolve(cwd, home, ".docker/config.json")] : [];
}
