import { type ByteRange, DriverError } from "../base/index.ts";
import { digestParts } from "../oci/index.ts";
import { type RegistryRequest, requestAuthorized } from "./authorized-request.ts";
import { isPage, noBlob, rangeHeader, usefulPart } from "./blob-answer.ts";
import { BlobHelpers, SHARED_BLOB_BYTES } from "./blob-helpers.ts";
import { BlobProgress } from "./blob-progress.ts";
import { type BlobQuery, blobPurpose, type FetchedBlob } from "./blob-query.ts";
import { type ClientTools, createRetrier, presentable } from "./client-tools.ts";
import { contentCodingOf, decodeInto, EncodedTooLong, isDecodingError } from "./content-coding.ts";
import { anonymous, type Credential } from "./credential.ts";
import { type Endpoint, endpointOf, targetIn } from "./endpoint.ts";
import { failureFrom, opening, type Purpose } from "./failure.ts";
import { HashFollower } from "./hash-follower.ts";
import type { HttpBody, HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";
import { TransportError } from "./http/transport-error.ts";
import { type PartClaim, PartClaims } from "./part-claims.ts";
import { RangeForms } from "./range-forms.ts";
import { type PartReception, receivePart } from "./receive-part.ts";
import type { Retrier } from "./retry.ts";
import { statusErrorFrom } from "./status-error.ts";

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
  readonly #progress: BlobProgress;
  readonly #claims: PartClaims;
  readonly #ranges: RangeForms;
  readonly #helpers: BlobHelpers | undefined;
  /** Set once bytes came, or were there, that the hash has not seen. */
  #follower: HashFollower | undefined;
  /** Where there are helpers: fires when the caller gives up, or when one connection's failure ends the others. */
  readonly #stop: AbortController | undefined;
  readonly #signal: AbortSignal | undefined;
  #hasWaited = false;
  #transferred = 0;
  #mostReceived = 0;
  #pages = 0;
  /** A body that claims a coding is the blob as it is, or encodes it: the digest tells, so the other reading is tried. */
  #decodes: boolean | undefined;
  #claimsCoding = false;
  /** Gives back the place among those that decode, while this one has it. */
  #leaveDecoding: (() => void) | undefined;

  constructor(tools: ClientTools, query: BlobQuery) {
    const { repository, endpoint, descriptor, credential } = query;
    this.#tools = tools;
    this.#query = query;
    this.#endpoint = endpoint ?? endpointOf(repository);
    const { shown, withheld } = presentable(this.#endpoint, [credential]);
    this.#credential = shown[0] ?? anonymous;
    this.#purpose = blobPurpose(query, this.#endpoint, [this.#credential.source, ...withheld]);
    this.#retrier = createRetrier(tools, query, this.#purpose);
    this.#progress = query.progress ?? new BlobProgress(descriptor);
    this.#ranges = new RangeForms(tools.retryPolicy.maxTries);
    this.#claims = new PartClaims(() => this.#progress.gaps());
    this.#helpers = this.#createHelpers();
    this.#stop = this.#helpers && new AbortController();
    this.#signal = this.#stop?.signal ?? query.signal;
  }

  async run(): Promise<FetchedBlob> {
    const { signal } = this.#query;
    const stop = this.#stop;
    const onAbort = () => stop?.abort(signal?.reason);
    if (stop !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      await this.#fetchInSomeReading();
    } finally {
      if (stop !== undefined) signal?.removeEventListener("abort", onAbort);
    }
    return { transferredBytes: this.#transferred };
  }

  async #fetchInSomeReading(): Promise<void> {
    try {
      await this.#fetch();
    } catch (error) {
      if (!(error instanceof DriverError && error.kind === "corrupt" && this.#claimsCoding)) throw error;
      this.#decodes = this.#decodes !== true;
      await this.#restart();
      await this.#fetch();
    }
  }

  async #fetch(): Promise<void> {
    const { size, digest } = this.#query.descriptor;
    try {
      this.#followWithHash();
      if (size === 0 || !this.#progress.isComplete) await this.#download();
      while (this.#progress.isBehind) {
        this.#followWithHash();
        await this.#follower?.arrived();
        this.#signal?.throwIfAborted();
      }
    } catch (error) {
      await this.#follower?.stop();
      throw error;
    } finally {
      await this.#helpers?.stop();
    }
    const { algorithm, hex } = digestParts(digest);
    const found = this.#progress.finish(hex);
    if (found !== hex) throw this.#corrupt(`the bytes that came have another digest (${algorithm}:${found})`);
  }

  async #download(): Promise<void> {
    this.#mostReceived = this.#progress.receivedBytes;
    for (;;) {
      const before = this.#progress.receivedBytes;
      try {
        await this.#attempt(this.#retrier.begin());
        if (this.#progress.isComplete) return;
      } catch (error) {
        // All is there, only the answer's own end is not: the digest will tell whether it is right.
        const isAllThere = this.#progress.size > 0 && this.#progress.isComplete;
        if (isAllThere && error instanceof TransportError) return;
        this.#countProgress();
        if (before > 0 && this.#ranges.mayAskOtherwise(error)) continue;
        this.#query.turn?.idle("pause");
        await this.#retrier.waitAfter(error).catch((final: unknown) => {
          throw failureFrom(final, this.#purpose, this.#tools.clock);
        });
      }
    }
  }

  #countProgress(): void {
    const { receivedBytes } = this.#progress;
    if (receivedBytes - this.#mostReceived >= progressBytes) this.#retrier.progressed();
    this.#mostReceived = Math.max(receivedBytes, this.#mostReceived);
  }

  /** One request for the first part that is missing. */
  async #attempt(patienceMs: number): Promise<void> {
    const { size } = this.#query.descriptor;
    const claim = size === 0 ? { at: 0, end: 0 } : this.#claims.take(this.#helpers?.partBytes ?? size);
    // Others fetch all that is left: one of them may leave its part to this one.
    if (claim === undefined) return await this.#helpers?.next();
    try {
      await this.#fetchPart(claim, patienceMs);
    } finally {
      this.#claims.release(claim);
      this.#leaveDecoding?.();
      this.#leaveDecoding = undefined;
    }
  }

  async #fetchPart(claim: PartClaim, patienceMs: number): Promise<void> {
    const { size } = this.#query.descriptor;
    const range = rangeHeader({ start: claim.at, end: claim.end }, size, this.#ranges.form);
    this.#query.turn?.idle("answer");
    const response = await this.#ask(range, { signal: this.#signal, patienceMs });
    try {
      await this.#query.turn?.busy();
    } catch (error) {
      response.body.discard();
      throw error;
    }
    if (response.status === 206) {
      const part = usefulPart(response, { start: claim.at, end: claim.end }, size);
      if (part !== undefined) return await this.#receivePart(response, part, claim);
      // Another part than was asked for: what this server makes of such ranges cannot be used.
      if (range === undefined) throw noBlob(response);
      response.body.discard();
      this.#ranges.next();
      return await this.#fetchPart(claim, patienceMs);
    }
    if (response.status !== 200) throw await statusErrorFrom(response, "registry", this.#tools.clock);
    await this.#receiveWhole(response, claim, () => this.#fetchPart(claim, patienceMs));
  }

  #ask(
    range: string | undefined,
    how: Pick<RegistryRequest, "signal" | "patienceMs" | "onlyIfFree">,
  ): Promise<HttpResponse> {
    return requestAuthorized(this.#tools, {
      endpoint: this.#endpoint,
      credential: this.#credential,
      method: "GET",
      target: targetIn(this.#endpoint, `/blobs/${this.#query.descriptor.digest}`),
      headers: new Map(range === undefined ? [] : [["Range", range]]),
      takesLong: true,
      ...how,
    });
  }

  async #receivePart({ body, target }: HttpResponse, part: ByteRange, claim: PartClaim): Promise<void> {
    this.#ranges.accepted();
    this.#helpers?.watch(claim);
    const wrongLength = () => new TransportError("cut", hostLabel(target), "the connection was cut in mid-answer");
    await receivePart(body, { part, claim, take: this.#take, wrongLength });
  }

  async #receiveWhole(response: HttpResponse, claim: PartClaim, askAnew: () => Promise<void>): Promise<void> {
    const { body, headers } = response;
    const { size } = this.#query.descriptor;
    const isResumed = this.#progress.receivedBytes > 0;
    const coding = contentCodingOf(headers);
    const decodes = coding !== undefined && (this.#decodes ?? (body.length ?? size) !== size);
    const isUnfit = !decodes && body.length !== undefined && body.length !== size;
    const isOddPage = isPage(response) && body.length === undefined && isResumed && ++this.#pages === 1;
    if (isOddPage || (isUnfit && (isResumed || isPage(response)))) throw noBlob(response);
    this.#claimsCoding = coding !== undefined;
    if (isResumed) await this.#restart();
    if (isUnfit) {
      body.discard();
      const [came, how] = [body.length ?? 0, (body.length ?? 0) < size ? "short" : "long"];
      throw this.#corrupt(`${came} bytes came where ${size} are due: it is too ${how}`);
    }
    claim.at = 0;
    claim.end = size;
    const wrongLength = (how: string) => this.#corrupt(`it is ${how} than ${size} bytes`);
    const reception = { part: { start: 0, end: size }, claim, take: this.#take, wrongLength };
    if (decodes) {
      this.#decodes = true;
      // A range would be one of the encoded bytes.
      this.#ranges.onlyWhole();
      if (await this.#mayDecode(response)) return await this.#decode(body, coding, reception);
      return await askAnew();
    }
    this.#helpers?.watch(claim);
    await receivePart(body, reception);
  }

  /** Takes a place to decode; where none was free it has one now, but not this answer: its server waits for no reader. */
  async #mayDecode({ body, target }: HttpResponse): Promise<boolean> {
    const { decoding } = this.#tools;
    this.#leaveDecoding ??= decoding.tryAcquire();
    if (this.#leaveDecoding !== undefined) return true;
    body.discard();
    this.#query.turn?.idle("pause");
    this.#leaveDecoding = await decoding.acquire(this.#signal, { isUrgent: false, group: hostLabel(target) });
    return false;
  }

  async #decode(body: HttpBody, coding: string, reception: PartReception): Promise<void> {
    const sizeBytes = this.#query.descriptor.size;
    const decoded: HttpBody = { ...body, readInto: (sink) => decodeInto(body, { coding, sizeBytes }, sink) };
    try {
      await receivePart(decoded, reception);
    } catch (error) {
      if (error instanceof EncodedTooLong) throw reception.wrongLength("longer");
      if (!isDecodingError(error)) throw error;
      throw this.#corrupt(`it is not ${coding}, though its answer says so`);
    }
  }

  readonly #take = (chunk: Buffer, offset: number): void | Promise<void> => {
    this.#transferred += chunk.length;
    const written = this.#query.sink.write(chunk, offset);
    const taken = () => {
      this.#progress.take(chunk, offset);
      if (this.#progress.isBehind) this.#followWithHash();
      else this.#query.sink.hashed?.(this.#progress.hashedBytes);
    };
    if (written === undefined) return taken();
    this.#hasWaited = true;
    return written.then(taken);
  };

  #createHelpers(): BlobHelpers | undefined {
    const { sink, descriptor } = this.#query;
    if (sink.read === undefined || descriptor.size < SHARED_BLOB_BYTES || this.#progress.wasWrong) return undefined;
    return new BlobHelpers({
      clock: this.#tools.clock,
      progress: this.#progress,
      claims: this.#claims,
      threadLoad: this.#tools.threadLoad,
      ask: (range, signal) => this.#ask(range, { signal, onlyIfFree: true }),
      take: this.#take,
      sinkWaited: () => {
        const hasWaited = this.#hasWaited;
        this.#hasWaited = false;
        return hasWaited;
      },
      onFailure: (error) => this.#stop?.abort(error),
    });
  }

  #followWithHash(): void {
    const { read, hashed } = this.#query.sink;
    if (read === undefined || !this.#progress.isBehind) return;
    this.#follower ??= new HashFollower({ progress: this.#progress, read, hashed });
    this.#follower.follow();
  }

  async #restart(): Promise<void> {
    await this.#helpers?.stop();
    this.#progress.restart();
    // It may still read what is about to go.
    await this.#follower?.rest();
    await this.#query.sink.restart();
  }

  #corrupt(why: string): DriverError {
    return new DriverError("corrupt", `${opening(this.#purpose)}: ${why}`);
  }
}
