import { DriverError } from "../base/index.ts";
import type { LayerCounts } from "./layer-index.ts";
import { quoteName, refuseEntry, refuseTar } from "./refusal.ts";

/** Limits of contract.md ("Limits") on what a tar layer, or all tar layers of an artifact together, may unpack to. */
export interface UnpackLimits {
  /** Bytes of content. */
  readonly maxBytes: number;
  /** Entries read; as many folders may be there only because of what is in them. */
  readonly maxEntries: number;
}

/** The entries that contract.md allows. */
export const MAX_ENTRIES = 1_000_000;

/** Headers, long names and padding of one entry; a tar that has more around its content is no honest one. */
const OVERHEAD_BYTES_AN_ENTRY = 16 * 1024;
const OVERHEAD_BYTES_A_TAR = 4 * 1024 * 1024;
/** What a gzip member counts for beside its content: decompressing one takes as long as some thousand bytes more. */
const BYTES_A_MEMBER = 4096;
const RATIO_HINT = "--max-unpack-ratio raises it";

/** What may still be unpacked. One that several layers share counts for all of them together. */
export class UnpackBudget {
  readonly #limits: UnpackLimits;
  readonly #owner: string;
  #bytes = 0;
  #entries = 0;
  #impliedFolders = 0;
  #tarBytes = 0;

  /** `owner` says in messages whose limit this is: "the layer", "all tar layers together". */
  constructor(limits: UnpackLimits, owner: string) {
    this.#limits = limits;
    this.#owner = owner;
  }

  /** An entry was read that has this much content, not yet unpacked. Throws "refused" if it is too much. */
  takeEntry(name: Buffer, size: number): void {
    this.#entries++;
    this.#bytes += size;
    this.#refuseExcess((why) => refuseEntry(name, why));
  }

  /** A folder has to be made that only this entry's path implies. Throws "refused" if there are too many. */
  takeImpliedFolder(name: Buffer): void {
    this.#impliedFolders++;
    this.#refuseExcess((why) => refuseEntry(name, why));
  }

  /** A layer is wanted that was unpacked already. Throws "refused", its title named, if it is too much. */
  takeLayer(title: string, { entries, contentBytes, impliedFolders }: LayerCounts): void {
    this.#entries += entries;
    this.#bytes += contentBytes;
    this.#impliedFolders += impliedFolders;
    this.#refuseExcess(refuseLayer(title));
  }

  /** So much of a tar was uncompressed; 0 for each further gzip member. Throws "refused" if it is more than its entries can explain. */
  takeTarBytes(bytes: number): void {
    this.#tarBytes += bytes === 0 ? BYTES_A_MEMBER : bytes;
    const explained = this.#bytes + this.#entries * OVERHEAD_BYTES_AN_ENTRY + OVERHEAD_BYTES_A_TAR;
    if (this.#tarBytes <= Math.max(explained, this.#limits.maxBytes)) return;
    throw refuseTar(
      `${this.#over(`${this.#limits.maxBytes} unpacked bytes`)}, most of them beside its files; ${RATIO_HINT}`,
    );
  }

  /** A folder was made that only a layer's title implies. Throws "refused", the title named, if there are too many. */
  takeTitleFolder(title: string): void {
    this.#impliedFolders++;
    this.#refuseExcess(refuseLayer(title));
  }

  /** What another budget took was taken from this one, too, and is free again. */
  giveBack(other: UnpackBudget): void {
    this.#bytes -= other.#bytes;
    this.#entries -= other.#entries;
    this.#impliedFolders -= other.#impliedFolders;
    this.#tarBytes -= other.#tarBytes;
  }

  #refuseExcess(refuse: (why: string) => DriverError): void {
    const { maxBytes, maxEntries } = this.#limits;
    if (this.#entries > maxEntries) throw refuse(this.#over(`${maxEntries} entries`));
    if (this.#bytes > maxBytes) throw refuse(`${this.#over(`${maxBytes} unpacked bytes`)}; ${RATIO_HINT}`);
    if (this.#impliedFolders > maxEntries)
      throw refuse(this.#over(`${maxEntries} folders without entries of their own`));
  }

  #over(limit: string): string {
    return `it takes ${this.#owner} over the limit of ${limit}`;
  }
}

function refuseLayer(title: string): (why: string) => DriverError {
  return (why) => new DriverError("refused", `layer ${quoteName(Buffer.from(title))}: ${why}`);
}
