import { DriverError } from "../base/index.ts";
import { Admission, NotLetIn } from "./admission.ts";
import { BlobProgress } from "./blob-progress.ts";
import { type BlobQuery, blobPurpose, type FetchedBlob } from "./blob-query.ts";
import { fetchBlob } from "./blob-request.ts";
import type { ClientTools } from "./client-tools.ts";
import { failureFrom } from "./failure.ts";
import { type AskedHost, askHosts, type HostsQuery } from "./first-host.ts";
import type { HostKind } from "./hosts/registry-host.ts";
import { onceMoreIfCorrupt } from "./once-more.ts";

/** Which blob, from which hosts, and where it goes. */
export interface HostedBlobQuery extends HostsQuery, Omit<BlobQuery, "credential" | "endpoint" | "repository"> {
  /** Told whom the bytes that come next are from. */
  readonly onHost?: ((kind: HostKind) => void) | undefined;
}

/** See `RegistryClient.fetchHostedBlob`. */
export function fetchHostedBlob(tools: ClientTools, query: HostedBlobQuery): Promise<FetchedBlob> {
  const download = new HostedDownload(tools, query);
  return askHosts(query, { needs: "pull", tools }, (host) => download.from(host));
}

/** One blob on its way: hosts and credentials change, what came so far stays, until it turns out to be wrong. */
class HostedDownload {
  readonly #tools: ClientTools;
  readonly #query: HostedBlobQuery;
  readonly #admission: Admission;
  readonly #progress: BlobProgress;

  constructor(tools: ClientTools, query: HostedBlobQuery) {
    this.#tools = tools;
    this.#query = query;
    this.#admission = query.admission ?? new Admission();
    this.#progress = query.progress ?? new BlobProgress(query.descriptor);
  }

  async from({ endpoint, credentials }: AskedHost): Promise<FetchedBlob> {
    const { repository, descriptor, onHost } = this.#query;
    onHost?.(endpoint.kind);
    try {
      return await this.#admission.enter(endpoint, credentials, async (credential) => {
        const query = { ...this.#query, endpoint, credential, progress: this.#progress };
        const fetch = () => fetchBlob(this.#tools, query);
        return await onceMoreIfCorrupt(fetch, () => this.#restart());
      });
    } catch (error) {
      // Which bytes are wrong, nobody knows: the next host gives all of them.
      if (error instanceof DriverError && error.kind === "corrupt") await this.#restart();
      if (!(error instanceof NotLetIn)) throw error;
      const purpose = blobPurpose({ repository, descriptor }, endpoint, error.tried);
      throw failureFrom(error.first, purpose, this.#tools.clock);
    }
  }

  async #restart(): Promise<void> {
    this.#progress.restart();
    await this.#query.sink.restart();
  }
}
