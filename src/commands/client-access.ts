import { createLogger, DriverError, describeError, errnoOf, type Logger, systemClock } from "../base/index.ts";
import { type ClientConfig, UsageError } from "../config/index.ts";
import type { Reference } from "../oci/index.ts";
import {
  anonymous,
  type Credential,
  type CredentialOffer,
  createRegistryClient,
  type DockerConfig,
  NodeCredentials,
  parseCaCertificates,
  parseDockerConfig,
  type RegistryClient,
  type Repository,
  type Unveil,
} from "../registry/index.ts";
import type { CommandContext } from "./context.ts";

/** What a client command needs to ask a registry for its artifact. */
export interface ClientAccess {
  readonly reference: Reference;
  readonly repository: Repository;
  /** In the order in which they are tried, anonymous last. */
  readonly credentials: readonly CredentialOffer[];
  /** Asks the credential helpers that a config.json names, once their turn comes. */
  readonly unveil: Unveil;
  /** PEM, beside the built-in roots. */
  readonly caCertificates: readonly string[];
}

/** Reads the files that a command line names, and the password. Throws for what cannot be used. */
export async function openAccess(
  { reference, transport, caFile, registryConfig, username }: ClientConfig,
  context: CommandContext,
): Promise<ClientAccess> {
  const { registry, repository } = reference;
  const file = readRegistryConfig(registryConfig, context);
  const fromFile = file?.config.credentialFor(registry, repository);
  const helpers = new NodeCredentials({ dockerConfig: file?.path, clock: systemClock, log: silentLog() });
  const offers = await helpers.fromDockerConfig(registry, repository);
  return {
    reference,
    repository: { registry, repository, transport },
    credentials: [
      ...(username === undefined ? [] : [await readPassword(username, context)]),
      ...(fromFile === undefined ? [] : [fromFile]),
      ...offers.filter(({ kind }) => kind === "deferred"),
      anonymous,
    ],
    unveil: helpers.unveil,
    caCertificates: caFile === undefined ? [] : readCaFile(caFile, context),
  };
}

/** A registry client for the main thread, which has nothing else to do. Close it. */
export function openClient({ caCertificates }: ClientAccess, { build }: CommandContext): RegistryClient {
  const userAgent = `oras-csi/${build.version}`;
  return createRegistryClient({ clock: systemClock, log: silentLog(), caCertificates, userAgent });
}

/** What goes wrong is in the error that the person reads. */
function silentLog(): Logger {
  return createLogger({ level: "silent", format: "text", write: () => undefined });
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

/** A config.json that can be used. */
interface ReadConfig {
  readonly path: string;
  readonly config: DockerConfig;
}

function readRegistryConfig(wanted: ClientConfig["registryConfig"], context: CommandContext): ReadConfig | undefined {
  if ("path" in wanted) {
    const { path } = wanted;
    const text = readNamedFile("--registry-config", path, context.readFile);
    return { path, config: parseDockerConfig(text, "--registry-config", "pod") };
  }
  for (const path of wanted.usual) {
    try {
      return { path, config: parseDockerConfig(context.readFile(path), path, "pod") };
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
