import { type ByteRange, ByteRanges, freeBuffers } from "../base/index.ts";
import { type Descriptor, type DigestAlgorithm, digestParts } from "../oci/index.ts";
import { createBlobHash, type BlobHash } from "./blob-hash.ts";

/** Reads back what was written of a blob, at an offset; how many bytes were read. */
export type ReadBack = (into: Buffer, offset: number) => Promise<number>;

const readBackBytes = 1024 * 1024;

/**
 * How far one blob is: which of its bytes are there, and the hash of those from its start. It outlives connections,
 * credentials and requests; what an earlier run left is handed in and hashed like anything else before it counts.
 */
export class BlobProgress {
  readonly size: number;
  readonly #algorithm: DigestAlgorithm;
  readonly #ranges: ByteRanges;
  #hash: BlobHash;
  #hashedBytes = 0;
  #wasWrong = false;

  constructor(descriptor: Pick<Descriptor, "digest" | "size">, there: readonly ByteRange[] = []) {
    this.size = descriptor.size;
    this.#algorithm = digestParts(descriptor.digest).algorithm;
    this.#hash = createBlobHash(this.#algorithm, this.size);
    this.#ranges = new ByteRanges(there);
  }

  /** Bytes that are there, wherever in the blob. */
  get receivedBytes(): number {
    return this.#ranges.total;
  }

  /** Bytes from the start that were hashed. */
  get hashedBytes(): number {
    return this.#hashedBytes;
  }

  get isComplete(): boolean {
    return this.#ranges.prefix === this.size;
  }

  /** True if bytes from the start are there that the hash has not seen. */
  get isBehind(): boolean {
    return this.#ranges.prefix > this.#hashedBytes;
  }

  /** True once a whole blob had another digest: what is fetched then is fetched in order, over one connection. */
  get wasWrong(): boolean {
    return this.#wasWrong;
  }

  /** Which bytes are there. */
  there(): readonly ByteRange[] {
    return this.#ranges.list();
  }

  /** Which bytes are missing. */
  gaps(): readonly ByteRange[] {
    return this.#ranges.gaps(this.size);
  }

  /** Bytes came, and are where `ReadBack` finds them; those that go on where the hash stands are hashed at once. */
  take(chunk: Buffer, offset: number): void {
    this.#ranges.add({ start: offset, end: offset + chunk.length });
    if (offset === this.#hashedBytes) this.#feed(chunk);
  }

  /**
   * Hashes what is there from the start on, up to the first gap, or until the signal fires; `onHashed` is told after
   * each piece.
   */
  async catchUp(read: ReadBack, onHashed: () => void, signal: AbortSignal): Promise<void> {
    const hash = this.#hash;
    const buffer = Buffer.allocUnsafeSlow(readBackBytes);
    try {
      while (this.isBehind && !signal.aborted) {
        const at = this.#hashedBytes;
        const wanted = Math.min(buffer.length, this.#ranges.prefix - at);
        const got = await read(buffer.subarray(0, wanted), at);
        // It was started over meanwhile.
        if (this.#hash !== hash) return;
        if (got === 0) throw new Error("the file of a download is shorter than what was written to it");
        this.#feed(buffer.subarray(0, got));
        onHashed();
      }
    } finally {
      freeBuffers([buffer]);
    }
  }

  /** Nothing is there any more. */
  restart(): void {
    this.#ranges.clear();
    this.#hash = createBlobHash(this.#algorithm, this.size);
    this.#hashedBytes = 0;
  }

  /** The digest of what was hashed, in hex; `wanted` is what it should be. */
  finish(wanted: string): string {
    const found = this.#hash.hex();
    this.#wasWrong ||= found !== wanted;
    return found;
  }

  #feed(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#hashedBytes += chunk.length;
  }
}
