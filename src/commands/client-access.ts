import { createLogger, DriverError, describeError, errnoOf, systemClock } from "../base/index.ts";
import { type ClientConfig, UsageError } from "../config/index.ts";
import type { Reference } from "../oci/index.ts";
import {
  anonymous,
  type Credential,
  createRegistryClient,
  type DockerConfig,
  parseCaCertificates,
  parseDockerConfig,
  type RegistryClient,
  type Repository,
} from "../registry/index.ts";
import type { CommandContext } from "./context.ts";

/** What a client command needs to ask a registry for its artifact. */
export interface ClientAccess {
  readonly reference: Reference;
  readonly repository: Repository;
  /** In the order in which they are tried, anonymous last. */
  readonly credentials: readonly Credential[];
  /** PEM, beside the built-in roots. */
  readonly caCertificates: readonly string[];
}

/** Reads the files that a command line names, and the password. Throws for what cannot be used. */
export async function openAccess(
  { reference, transport, caFile, registryConfig, username }: ClientConfig,
  context: CommandContext,
): Promise<ClientAccess> {
  const { registry, repository } = reference;
  const config = readRegistryConfig(registryConfig, context);
  const fromFile = config?.credentialFor(registry, repository);
  return {
    reference,
    repository: { registry, repository, transport },
    credentials: [
      ...(username === undefined ? [] : [await readPassword(username, context)]),
      ...(fromFile === undefined ? [] : [fromFile]),
      anonymous,
    ],
    caCertificates: caFile === undefined ? [] : readCaFile(caFile, context),
  };
}

/** A registry client for the main thread, which has nothing else to do. Close it. */
export function openClient({ caCertificates }: ClientAccess, { build }: CommandContext): RegistryClient {
  const log = createLogger({ level: "silent", format: "text", write: () => undefined });
  const userAgent = `oras-csi/${build.version}`;
  return createRegistryClient({ clock: systemClock, log, caCertificates, userAgent });
}

/** The password goes where the person says, over plain http, too: it is theirs. */
async function readPassword(username: string, { readInput }: CommandContext): Promise<Credential> {
  const password = (await readInput()).replace(/\r?\n$/, "");
  if (password === "") throw new UsageError("--password-stdin: standard input is empty");
  return { kind: "password", username, password, source: "--username", owner: "pod" };
}

function readCaFile(path: string, { readFile }: CommandContext): readonly string[] {
  return parseCaCertificates(readNamedFile("--ca-file", path, readFile), "--ca-file");
}

function readRegistryConfig(wanted: ClientConfig["registryConfig"], context: CommandContext): DockerConfig | undefined {
  if ("path" in wanted) {
    const text = readNamedFile("--registry-config", wanted.path, context.readFile);
    return parseDockerConfig(text, "--registry-config", "pod");
  }
  for (const path of wanted.usual) {
    try {
      return parseDockerConfig(context.readFile(path), path, "pod");
    } catch (error) {
      // Nobody asked for it, and what is public can be had without.
      if (errnoOf(error) !== "ENOENT") context.writeError(`oras-csi: ${path} is not used: ${describeError(error)}\n`);
    }
  }
  return undefined;
}

function readNamedFile(flag: string, path: string, readFile: CommandContext["readFile"]): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new DriverError("bad-input", `cannot read ${flag} ${path}: ${describeError(error)}`, error);
  }
}
