import { ProgressMeter, type PullProgress } from "../artifact/index.ts";
import { systemClock } from "../base/index.ts";
import type { CommandContext } from "./context.ts";

const BAR_CELLS = 20;
const TO_LINE_START = "\r";
const TO_LINE_END = "\u001b[K";

/** One line of a terminal that tells how far a pull is; nothing where standard error is no terminal. */
export class ProgressLine {
  readonly #context: Pick<CommandContext, "writeError" | "terminalColumns">;
  readonly #meter = new ProgressMeter(systemClock);
  #isShown = false;

  constructor(context: Pick<CommandContext, "writeError" | "terminalColumns">, what: string) {
    this.#context = context;
    if (context.terminalColumns !== undefined) this.#write(what);
  }

  /** Tells how far it is now. */
  show(progress: PullProgress): void {
    this.#meter.update(progress);
    const { doneBytes, totalBytes } = progress;
    const share = totalBytes === 0 ? 0 : Math.min(1, doneBytes / totalBytes);
    const full = Math.floor(share * BAR_CELLS);
    this.#write(`[${"#".repeat(full)}${"-".repeat(BAR_CELLS - full)}] ${this.#meter.describe()}`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isShown) this.#context.writeError(TO_LINE_START + TO_LINE_END);
    this.#isShown = false;
  }

  /** A line that wraps would not be overwritten by the next one. */
  #write(text: string): void {
    const columns = this.#context.terminalColumns;
    if (columns === undefined) return;
    this.#isShown = true;
    this.#context.writeError(TO_LINE_START + text.slice(0, columns - 1) + TO_LINE_END);
  }
}
