import { createHash, type Hash } from "node:crypto";
import { DriverError } from "../base/index.ts";
import { type Descriptor, digestParts } from "../oci/index.ts";
import { requestAuthorized } from "./authorized-request.ts";
import { type Asker, type ClientTools, createRetrier, presentable } from "./client-tools.ts";
import { anonymous, type Credential } from "./credential.ts";
import { type Endpoint, endpointOf, type Repository, targetIn } from "./endpoint.ts";
import { failureFrom, opening, type Purpose } from "./failure.ts";
import { headerOf } from "./http/http-message.ts";
import type { HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";
import { TransportError } from "./http/transport-error.ts";
import type { Retrier } from "./retry.ts";
import { StatusError, statusErrorFrom } from "./status-error.ts";

/** Where a blob's bytes go, in order, never more than its size. */
export interface BlobSink {
  /** The chunk is valid during the call, or until the promise settles; meanwhile nothing more is read. */
  write(chunk: Buffer): void | Promise<void>;
  /** Everything handed over so far is void, a resumed prefix included: the next `write` is byte 0. */
  restart(): void | Promise<void>;
}

/** Which blob, and where it goes. */
export interface BlobQuery extends Asker {
  readonly repository: Repository;
  readonly descriptor: Pick<Descriptor, "digest" | "size">;
  readonly credential: Credential;
  readonly sink: BlobSink;
  /** The sink has the first `offset` bytes already; `hash`, of the digest's algorithm, was fed with them. */
  readonly resume?: { readonly offset: number; readonly hash: Hash } | undefined;
}

/** How a blob came. */
export interface FetchedBlob {
  /** Bytes that came over the wire, those of restarts included. */
  readonly transferredBytes: number;
}

// So much of a blob between two failures shows that the host is alive: its tries are counted anew.
const progressBytes = 1024 * 1024;

/** See `RegistryClient.fetchBlob`. */
export async function fetchBlob(tools: ClientTools, query: BlobQuery): Promise<FetchedBlob> {
  return await new BlobDownload(tools, query).run();
}

/** One blob on its way: where it stands survives the connections that break under it. */
class BlobDownload {
  readonly #tools: ClientTools;
  readonly #query: BlobQuery;
  readonly #endpoint: Endpoint;
  readonly #credential: Credential;
  readonly #purpose: Purpose;
  readonly #retrier: Retrier;
  #hash: Hash;
  #received: number;
  #transferred = 0;
  #mayAskForRange = true;
  #refusedRanges = 0;

  constructor(tools: ClientTools, query: BlobQuery) {
    const { repository, descriptor, credential, resume } = query;
    this.#tools = tools;
    this.#query = query;
    this.#endpoint = endpointOf(repository);
    const { shown, withheld } = presentable(this.#endpoint, [credential]);
    this.#credential = shown[0] ?? anonymous;
    this.#purpose = {
      action: "fetch blob",
      subject: `${descriptor.digest} of ${repository.registry}/${repository.repository}`,
      repository,
      host: hostLabel(this.#endpoint.base),
      tried: [this.#credential.source, ...withheld],
    };
    this.#retrier = createRetrier(tools, query, this.#purpose);
    this.#hash = resume?.hash ?? createHash(digestParts(descriptor.digest).algorithm);
    this.#received = resume?.offset ?? 0;
  }

  async run(): Promise<FetchedBlob> {
    const isWhole = this.#query.resume !== undefined && this.#received === this.#query.descriptor.size;
    if (!isWhole) await this.#download();
    const { algorithm, hex } = digestParts(this.#query.descriptor.digest);
    const found = this.#hash.digest("hex");
    if (found !== hex) throw this.#corrupt(`the bytes that came have another digest (${algorithm}:${found})`);
    return { transferredBytes: this.#transferred };
  }

  async #download(): Promise<void> {
    for (;;) {
      const before = this.#received;
      try {
        await this.#attempt(this.#retrier.begin());
        return;
      } catch (error) {
        // All is there, only the answer's own end is not: the digest will tell whether it is right.
        const isAllThere = this.#received > 0 && this.#received === this.#query.descriptor.size;
        if (isAllThere && error instanceof TransportError) return;
        if (this.#received - before >= progressBytes) this.#retrier.progressed();
        if (this.#dropsRange(error, before)) continue;
        await this.#retrier.waitAfter(error).catch((final: unknown) => {
          throw failureFrom(final, this.#purpose, this.#tools.clock);
        });
      }
    }
  }

  async #attempt(patienceMs: number): Promise<void> {
    const { descriptor, signal } = this.#query;
    const from = this.#mayAskForRange ? this.#received : 0;
    const response = await requestAuthorized(this.#tools, {
      endpoint: this.#endpoint,
      credential: this.#credential,
      method: "GET",
      target: targetIn(this.#endpoint, `/blobs/${descriptor.digest}`),
      headers: new Map(from === 0 ? [] : [["Range", `bytes=${from}-${descriptor.size - 1}`]]),
      signal,
      patienceMs,
      takesLong: true,
    });
    if (response.status === 206 && from > 0) {
      if (isRangeFrom(response, from, descriptor.size)) return await this.#receive(response, descriptor.size - from);
      // Another part than was asked for: what this server makes of ranges cannot be used.
      response.body.discard();
      this.#mayAskForRange = false;
      return await this.#attempt(patienceMs);
    }
    if (response.status !== 200) throw await statusErrorFrom(response, "registry", this.#tools.clock);
    if (this.#received > 0) await this.#restart();
    await this.#receive(response, descriptor.size);
  }

  /** Reads a body of which `due` bytes are expected. */
  async #receive({ body }: HttpResponse, due: number): Promise<void> {
    const { descriptor, sink } = this.#query;
    if (body.length !== undefined && body.length !== due) {
      body.discard();
      throw this.#corrupt(
        `${body.length} bytes came where ${due} are due: it is too ${body.length < due ? "short" : "long"}`,
      );
    }
    await body.readInto((chunk) => {
      if (this.#received + chunk.length > descriptor.size)
        throw this.#corrupt(`it is longer than ${descriptor.size} bytes`);
      this.#hash.update(chunk);
      this.#received += chunk.length;
      this.#transferred += chunk.length;
      return sink.write(chunk);
    });
    if (this.#received === descriptor.size) return;
    throw this.#corrupt(`it is shorter than ${descriptor.size} bytes`);
  }

  async #restart(): Promise<void> {
    this.#received = 0;
    this.#hash = createHash(digestParts(this.#query.descriptor.digest).algorithm);
    await this.#query.sink.restart();
  }

  /** True if the same is to be tried at once without a range: servers refuse ranges with all kinds of statuses. */
  #dropsRange(error: unknown, before: number): boolean {
    const wasRanged = before > 0 && this.#mayAskForRange;
    if (!wasRanged || !(error instanceof StatusError) || error.status === 401 || error.status === 429) return false;
    this.#refusedRanges++;
    const isClear = error.role === "registry" && error.status < 500;
    if (isClear || this.#refusedRanges >= 2) this.#mayAskForRange = false;
    return !this.#mayAskForRange;
  }

  #corrupt(why: string): DriverError {
    return new DriverError("corrupt", `${opening(this.#purpose)}: ${why}`);
  }
}

/** True if a 206 carries the bytes from `start` to the end of a blob of `size` bytes. */
function isRangeFrom(response: HttpResponse, start: number, size: number): boolean {
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(headerOf(response.headers, "content-range")?.trim() ?? "");
  if (range === null) return false;
  const [, first, last, total] = range;
  return Number(first) === start && Number(last) === size - 1 && (total === "*" || Number(total) === size);
}
