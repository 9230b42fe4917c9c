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
import type { Credential, RegistryClient } from "../registry/index.ts";
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

/** An index in an index in an index is still followed; more is a loop or a joke. */
const MAX_INDEX_DEPTH = 4;

/** Fetches what a reference names, and through indexes the manifest for a platform. Rejects as `fetchManifest` does. */
export async function readArtifact(
  client: RegistryClient,
  access: ClientAccess,
  { platform, isAsked }: PlatformChoice,
): Promise<FoundArtifact> {
  const { reference } = access;
  const what = formatReference(reference);
  const top = await fetchOne(client, access, reference.digest ?? reference.tag ?? "latest");
  const index = top.content.kind === "index" ? top.content : undefined;
  let { digest, content, credential } = top;
  for (let depth = 0; content.kind === "index"; depth++) {
    if (depth === MAX_INDEX_DEPTH)
      throw new DriverError("refused", `${what} is an index of indexes, too deep to follow`);
    const entry = entryFor(content, { platform, isAsked }, what);
    if (entry === undefined) return { digest: top.digest, index, chosen: undefined };
    ({ digest, content, credential } = await fetchOne(client, access, entry.digest));
  }
  const config = await readConfig(client, access, { manifest: content, credential });
  return { digest: top.digest, index, chosen: { digest, manifest: content, config } };
}

/** What a registry gave, and to whom. */
interface Fetched {
  readonly digest: Digest;
  readonly content: Manifest | Index;
  readonly credential: Credential;
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
  client: RegistryClient,
  { reference, repository, credentials }: ClientAccess,
  tagOrDigest: string,
): Promise<Fetched> {
  const { bytes, contentType, digest, credential } = await client.fetchManifest({
    repository,
    tagOrDigest,
    credentials,
  });
  try {
    return { digest, content: parseManifest(bytes, contentType), credential };
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    throw new DriverError(error.kind, `cannot read ${formatReference(reference)}: ${error.message}`, error.cause);
  }
}

async function readConfig(
  client: RegistryClient,
  { repository }: ClientAccess,
  { manifest, credential }: { readonly manifest: Manifest; readonly credential: Credential },
): Promise<Uint8Array | undefined> {
  const descriptor = namingConfigOf(manifest);
  if (descriptor === undefined) return undefined;
  let parts: Buffer[] = [];
  const sink = {
    write: (chunk: Buffer) => void parts.push(Buffer.from(chunk)),
    restart: () => {
      parts = [];
    },
  };
  await client.fetchBlob({ repository, descriptor, credential, sink });
  return Buffer.concat(parts);
}
