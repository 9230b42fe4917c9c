import { DriverError } from "../base/index.ts";
import {
  type Digest,
  digestOf,
  digestParts,
  formatReference,
  MANIFEST_ACCEPT,
  MAX_MANIFEST_BYTES,
  parseDigest,
} from "../oci/index.ts";
import { Admission, NotLetIn } from "./admission.ts";
import { requestAuthorized } from "./authorized-request.ts";
import { type ClientTools, createRetrier } from "./client-tools.ts";
import { contentCodingOf, decodeWhole } from "./content-coding.ts";
import type { Credential } from "./credential.ts";
import { type Endpoint, targetIn } from "./endpoint.ts";
import { failureFrom, opening, type Purpose } from "./failure.ts";
import { type AskedHost, askHosts, type HostsQuery, hostsFor } from "./first-host.ts";
import { headerOf } from "./http/http-message.ts";
import type { HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";
import { TransportError } from "./http/transport-error.ts";
import { onceMoreIfCorrupt } from "./once-more.ts";
import { withRetries } from "./retry.ts";
import { StatusError, statusErrorFrom } from "./status-error.ts";

/** A manifest's bytes, hashed here, and with which credential they were given. */
export interface FetchedManifest {
  readonly bytes: Uint8Array;
  readonly contentType: string | undefined;
  /** Of the bytes: by the algorithm of the digest that was asked for, else sha256. */
  readonly digest: Digest;
  readonly credential: Credential;
}

/** What a registry says of a tag without giving its manifest. It is a claim: only bytes prove a digest. */
export interface ClaimedManifest {
  readonly digest: Digest;
  readonly credential: Credential;
}

/** Which manifest is asked for, by tag or by digest. */
export interface ManifestQuery extends HostsQuery {
  readonly tagOrDigest: string;
}

/** See `RegistryClient.fetchManifest`. */
export function fetchManifest(tools: ClientTools, query: ManifestQuery): Promise<FetchedManifest> {
  const way = { needs: capabilityFor(query), tools };
  return askHosts(query, way, (host) => fetchFrom(tools, query, host));
}

async function fetchFrom(tools: ClientTools, query: ManifestQuery, host: AskedHost): Promise<FetchedManifest> {
  const { endpoint, credentials } = host;
  const { admission = new Admission() } = query;
  const purpose = purposeOf(query, endpoint, []);
  const retrier = createRetrier(tools, query, purpose);
  try {
    return await admission.enter(endpoint, credentials, (credential) =>
      onceMoreIfCorrupt(() =>
        withRetries(retrier, async (patienceMs) => {
          const response = await ask(tools, query, { method: "GET", endpoint, credential, patienceMs });
          return await readManifest(tools, response, { query, credential, purpose });
        }),
      ),
    );
  } catch (error) {
    if (!(error instanceof NotLetIn)) throw failureFrom(error, purpose, tools.clock);
    throw failureFrom(error.first, { ...purpose, tried: error.tried }, tools.clock);
  }
}

/** See `RegistryClient.headManifest`. */
export async function headManifest(tools: ClientTools, query: ManifestQuery): Promise<ClaimedManifest | undefined> {
  const { admission = new Admission() } = query;
  for (const { endpoint, credentials, problem } of hostsFor(query, capabilityFor(query), tools)) {
    if (problem !== undefined) continue;
    try {
      const claimed = await admission.enter(endpoint, credentials, async (credential) => {
        const response = await ask(tools, query, { method: "HEAD", endpoint, credential, patienceMs: undefined });
        response.body.discard();
        const digest = headerOf(response.headers, "docker-content-digest");
        return digest === undefined ? undefined : { digest: parseDigest(digest), credential };
      });
      if (claimed !== undefined) return claimed;
    } catch (error) {
      query.signal?.throwIfAborted();
      if (error instanceof TransportError) tools.rest.failed(endpoint);
      // A HEAD decides nothing but "unchanged": whatever else it says, GET will say it better.
    }
  }
  return undefined;
}

/** A digest may be had of any host that gives manifests; what a tag is now, only of those that may say so. */
function capabilityFor(query: ManifestQuery): "pull" | "resolve" {
  return askedDigest(query) === undefined ? "resolve" : "pull";
}

interface Ask {
  readonly method: "GET" | "HEAD";
  readonly endpoint: Endpoint;
  readonly credential: Credential;
  readonly patienceMs: number | undefined;
}

function ask(tools: ClientTools, query: ManifestQuery, how: Ask): Promise<HttpResponse> {
  const target = targetIn(how.endpoint, `/manifests/${query.tagOrDigest}`);
  const accepting = (types: string) => {
    const headers = new Map([["Accept", types]]);
    return requestAuthorized(tools, { ...how, target, headers, signal: query.signal });
  };
  return accepting(MANIFEST_ACCEPT).catch((error: unknown) => {
    // A registry that knows none of these types may give what it has all the same: its bytes tell what it is.
    if (error instanceof StatusError && error.status === 406) return accepting("*/*");
    throw error;
  });
}

interface Reading {
  readonly query: ManifestQuery;
  readonly credential: Credential;
  readonly purpose: Purpose;
}

async function readManifest(tools: ClientTools, response: HttpResponse, reading: Reading): Promise<FetchedManifest> {
  const { query, credential, purpose } = reading;
  if (response.status !== 200) throw await statusErrorFrom(response, "registry", tools.clock);
  const { bytes: sent, whole } = await tools.largeManifests.read(response, MAX_MANIFEST_BYTES, query.signal);
  if (!whole) {
    throw new DriverError(
      "refused",
      `${opening(purpose)}: it has more than the ${MAX_MANIFEST_BYTES} bytes that are read`,
    );
  }
  const asked = askedDigest(query);
  const bytes = manifestIn(sent, response, asked);
  const digest = digestOf(bytes, asked === undefined ? "sha256" : digestParts(asked).algorithm);
  if (asked !== undefined && digest !== asked) {
    throw new DriverError("corrupt", `${opening(purpose)}: the bytes that came have another digest (${digest})`);
  }
  return { bytes, contentType: headerOf(response.headers, "content-type"), digest, credential };
}

/** What was sent, or what it encodes if it says so: what has the digest that was asked for, or may be a manifest. */
function manifestIn(sent: Buffer, { headers }: HttpResponse, asked: Digest | undefined): Buffer {
  const coding = contentCodingOf(headers);
  const isFit = (bytes: Buffer) =>
    asked === undefined
      ? /^\s*\{/.test(bytes.toString("latin1", 0, 64))
      : digestOf(bytes, digestParts(asked).algorithm) === asked;
  if (coding === undefined || isFit(sent)) return sent;
  const decoded = decodeWhole(sent, coding, MAX_MANIFEST_BYTES);
  return decoded !== undefined && isFit(decoded) ? decoded : sent;
}

function askedDigest({ tagOrDigest }: ManifestQuery): Digest | undefined {
  return tagOrDigest.includes(":") ? parseDigest(tagOrDigest) : undefined;
}

function purposeOf(query: ManifestQuery, endpoint: Endpoint, tried: readonly string[]): Purpose {
  const { registry, repository } = query.repository;
  const digest = askedDigest(query);
  const tag = digest === undefined ? query.tagOrDigest : undefined;
  return {
    action: "fetch the manifest of",
    subject: formatReference({ registry, repository, tag, digest }),
    repository: query.repository,
    host: hostLabel(endpoint.base),
    tried,
  };
}
