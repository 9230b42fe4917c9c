import { readFileSync } from "node:fs";

const SAMPLE_MS = 5;

/** Watches how much anonymous memory a process takes. */
export class MemoryWatch implements Disposable {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  /** What it took in the beginning. */
  readonly startMb: number;
  #peakMb = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS);
    this.#look();
    this.startMb = this.#peakMb;
  }

  /** The most that was seen so far, in MB (10^6 bytes). */
  get peakMb(): number {
    this.#look();
    return this.#peakMb;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const status = readFileSync(`/proc/${this.#pid}/status`, "utf8");
    const kilobytes = Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
    this.#peakMb = Math.max(this.#peakMb, (kilobytes * 1024) / 1e6);
  }
}
