import { namingConfigOf } from "../artifact/index.ts";
import { DriverError } from "../base/index.ts";
import {
  type Descriptor,
  type Digest,
  formatReference,
  type Index,
  type Manifest,
  type Platform,
  parseManifest,
  selectPlatform,
} from "../oci/index.ts";
import { Admission, type RegistryClient } from "../registry/index.ts";
import type { ClientAccess } from "./client-access.ts";

/** What a reference names. */
export interface FoundArtifact {
  /** Of what the reference itself names: the index, where there is one. */
  readonly digest: Digest;
  readonly index: Index | undefined;
  /** The manifest that a volume is made of; undefined where the index has none for the platform. */
  readonly chosen: ReadManifest | undefined;
}

/** A manifest, and what else it takes to say what it becomes. */
export interface ReadManifest {
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** The config's bytes, if layers get their names from it. */
  readonly config: Uint8Array | undefined;
}

/** Which manifest of an index is meant. */
export interface PlatformChoice {
  readonly platform: Platform;
  /** Somebody asked for it: it is an error if there is none. */
  readonly isAsked: boolean;
}

/** Who waits for it. */
export interface ArtifactAsker {
  /** Gives up; that there is one keeps the process alive between two tries. */
  readonly signal: AbortSignal;
  /** Told of each request that failed while it is tried again. */
  readonly onFailedTry: (message: string) => void;
}

/** An index in an index in an index is still followed; more is a loop or a joke. */
const MAX_INDEX_DEPTH = 4;

/** Fetches what a reference names, and through indexes the manifest for a platform. Rejects as `fetchManifest` does. */
export async function readArtifact(
  client: RegistryClient,
  access: ClientAccess,
  { platform, isAsked }: PlatformChoice,
  asker: ArtifactAsker,
): Promise<FoundArtifact> {
  const { reference, unveil } = access;
  const source = { client, access, admission: new Admission(unveil), asker };
  const what = formatReference(reference);
  const top = await fetchOne(source, reference.digest ?? reference.tag ?? "latest");
  const index = top.content.kind === "index" ? top.content : undefined;
  let { digest, content } = top;
  for (let depth = 0; content.kind === "index"; depth++) {
    if (depth === MAX_INDEX_DEPTH)
      throw new DriverError("refused", `${what} is an index of indexes, too deep to follow`);
    const entry = entryFor(content, { platform, isAsked }, what);
    if (entry === undefined) return { digest: top.digest, index, chosen: undefined };
    ({ digest, content } = await fetchOne(source, entry.digest));
  }
  const config = await readConfig(source, content);
  return { digest: top.digest, index, chosen: { digest, manifest: content, config } };
}

/** Whom to ask, and what has been found out of which credential is let in. */
interface Source {
  readonly client: RegistryClient;
  readonly access: ClientAccess;
  readonly admission: Admission;
  readonly asker: ArtifactAsker;
}

function entryFor(index: Index, { platform, isAsked }: PlatformChoice, what: string): Descriptor | undefined {
  try {
    return selectPlatform(index, platform, what);
  } catch (error) {
    if (isAsked || !(error instanceof DriverError) || error.kind !== "not-found") throw error;
    return undefined;
  }
}

async function fetchOne(
  { client, access: { reference, repository, credentials }, admission, asker }: Source,
  tagOrDigest: string,
): Promise<{ readonly digest: Digest; readonly content: Manifest | Index }> {
  const query = { repository, tagOrDigest, credentials, admission, ...asker };
  const { bytes, contentType, digest } = await client.fetchManifest(query);
  try {
    return { digest, content: parseManifest(bytes, contentType) };
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    throw new DriverError(error.kind, `cannot read ${formatReference(reference)}: ${error.message}`, error.cause);
  }
}

async function readConfig(
  { client, access: { repository, credentials }, admission, asker }: Source,
  manifest: Manifest,
): Promise<Uint8Array | undefined> {
  const descriptor = namingConfigOf(manifest);
  if (descriptor === undefined) return undefined;
  const bytes = Buffer.alloc(descriptor.size);
  const sink = { write: (chunk: Buffer, offset: number) => void chunk.copy(bytes, offset), restart: () => undefined };
  await client.fetchHostedBlob({ repository, descriptor, credentials, admission, ...asker, sink });
  return bytes;
}
