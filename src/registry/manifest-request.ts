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
import { requestAuthorized } from "./authorized-request.ts";
import { type Asker, type ClientTools, createRetrier, presentable } from "./client-tools.ts";
import type { Credential } from "./credential.ts";
import { type Endpoint, endpointOf, type Repository, targetIn } from "./endpoint.ts";
import { failureFrom, opening, type Purpose } from "./failure.ts";
import { headerOf } from "./http/http-message.ts";
import type { HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";
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
export interface ManifestQuery extends Asker {
  readonly repository: Repository;
  readonly tagOrDigest: string;
  readonly credentials: readonly Credential[];
}

/** See `RegistryClient.fetchManifest`. */
export async function fetchManifest(tools: ClientTools, query: ManifestQuery): Promise<FetchedManifest> {
  const endpoint = endpointOf(query.repository);
  const { shown, withheld } = presentable(endpoint, query.credentials);
  const tried = [...shown.map(({ source }) => source), ...withheld];
  const purpose = purposeOf(query, endpoint, tried);
  const retrier = createRetrier(tools, query, purpose);
  let firstRefusal: StatusError | undefined;
  for (const credential of shown) {
    try {
      return await onceMoreIfCorrupt(() =>
        withRetries(retrier, async (patienceMs) => {
          const response = await ask(tools, query, { method: "GET", endpoint, credential, patienceMs });
          return await readManifest(tools, response, { query, credential, purpose });
        }),
      );
    } catch (error) {
      if (!(error instanceof StatusError && error.isRefusal)) throw failureFrom(error, purpose, tools.clock);
      firstRefusal ??= error;
    }
  }
  throw failureFrom(firstRefusal, purpose, tools.clock);
}

/** See `RegistryClient.headManifest`. */
export async function headManifest(tools: ClientTools, query: ManifestQuery): Promise<ClaimedManifest | undefined> {
  const endpoint = endpointOf(query.repository);
  for (const credential of presentable(endpoint, query.credentials).shown) {
    try {
      const response = await ask(tools, query, { method: "HEAD", endpoint, credential, patienceMs: undefined });
      response.body.discard();
      const digest = headerOf(response.headers, "docker-content-digest");
      return digest === undefined ? undefined : { digest: parseDigest(digest), credential };
    } catch (error) {
      query.signal?.throwIfAborted();
      // A HEAD decides nothing but "unchanged": whatever else it says, GET will say it better.
      if (!(error instanceof StatusError && error.isRefusal)) return undefined;
    }
  }
  return undefined;
}

interface Ask {
  readonly method: "GET" | "HEAD";
  readonly endpoint: Endpoint;
  readonly credential: Credential;
  readonly patienceMs: number | undefined;
}

function ask(tools: ClientTools, query: ManifestQuery, how: Ask): Promise<HttpResponse> {
  const target = targetIn(how.endpoint, `/manifests/${query.tagOrDigest}`);
  return requestAuthorized(tools, {
    ...how,
    target,
    headers: new Map([["Accept", MANIFEST_ACCEPT]]),
    signal: query.signal,
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
  const { bytes, whole } = await response.body.readAtMost(MAX_MANIFEST_BYTES);
  if (!whole) {
    throw new DriverError(
      "refused",
      `${opening(purpose)}: it has more than the ${MAX_MANIFEST_BYTES} bytes that are read`,
    );
  }
  const asked = askedDigest(query);
  const digest = digestOf(bytes, asked === undefined ? "sha256" : digestParts(asked).algorithm);
  if (asked !== undefined && digest !== asked) {
    throw new DriverError("corrupt", `${opening(purpose)}: the bytes that came have another digest (${digest})`);
  }
  return { bytes, contentType: headerOf(response.headers, "content-type"), digest, credential };
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
