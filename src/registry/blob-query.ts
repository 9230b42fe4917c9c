import type { Descriptor } from "../oci/index.ts";
import type { BlobProgress, ReadBack } from "./blob-progress.ts";
import type { Asker, Turn } from "./client-tools.ts";
import type { Credential } from "./credential.ts";
import type { Endpoint, Repository } from "./endpoint.ts";
import type { Purpose } from "./failure.ts";
import { hostLabel } from "./http/target.ts";

/** Where a blob's bytes go, never more than its size. */
export interface BlobSink {
  /**
   * Takes bytes that belong at `offset`. The chunk is valid during the call, or until the promise settles; meanwhile
   * its connection brings no more.
   */
  write(chunk: Buffer, offset: number): void | Promise<void>;
  /** Everything handed over so far is void, what was there before included. */
  restart(): void | Promise<void>;
  /** Reads back what was written; without it bytes come in order, from the first one on. */
  readonly read?: ReadBack;
  /** So many bytes from the start are there and were hashed. */
  readonly hashed?: (bytes: number) => void;
}

/** Which blob, and where it goes. */
export interface BlobQuery extends Asker {
  readonly repository: Repository;
  readonly descriptor: Pick<Descriptor, "digest" | "size">;
  /** The host that is asked; undefined: the registry itself. */
  readonly endpoint?: Endpoint | undefined;
  readonly credential: Credential;
  readonly sink: BlobSink;
  readonly turn?: Turn | undefined;
  /** What the sink has already, and what comes now; to be handed in again where another request goes on. */
  readonly progress?: BlobProgress | undefined;
}

/** How a blob came. */
export interface FetchedBlob {
  /** Bytes that came over the wire, those of restarts included. */
  readonly transferredBytes: number;
}

/** What fetching a blob from one host is for, in messages. */
export function blobPurpose(
  { repository, descriptor }: Pick<BlobQuery, "repository" | "descriptor">,
  endpoint: Endpoint,
  tried: readonly string[],
): Purpose {
  const subject = `${descriptor.digest} of ${repository.registry}/${repository.repository}`;
  return { action: "fetch blob", subject, repository, host: hostLabel(endpoint.base), tried };
}
