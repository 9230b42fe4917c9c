import type { Clock } from "../base/index.ts";
import type { PullProgress } from "./worker-calls.ts";

/** How much of the past the shown speed is taken from, in milliseconds. */
const WINDOW_MS = 5_000;

/** How far a pull is, as far as its meter asks. */
type Progress = Omit<PullProgress, "resumedBytes" | "retries" | "mirrorBytes">;

/** How far a pull is and how fast, in words for `kubectl describe pod`. */
export class ProgressMeter {
  readonly #clock: Clock;
  #latest: Progress = { phase: "fetching", doneBytes: 0, totalBytes: 0, fetchedBytes: 0 };
  #samples: { readonly atMs: number; readonly fetchedBytes: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  update(progress: Progress): void {
    const atMs = this.#clock.monotonicMs();
    this.#latest = progress;
    this.#samples = this.#samples.filter((sample) => atMs - sample.atMs <= WINDOW_MS);
    this.#samples.push({ atMs, fetchedBytes: progress.fetchedBytes });
  }

  /** Such as `3.2 of 7.1 GB (45%), 210 MB/s, about 19 s left`. */
  describe(): string {
    const { phase, doneBytes, totalBytes } = this.#latest;
    if (totalBytes === 0) return phase === "fetching" ? "starting" : phaseText[phase];
    const percent = Math.floor((doneBytes / totalBytes) * 100);
    const share = `${sizePair(doneBytes, totalBytes)} (${percent}%)`;
    if (phase !== "fetching") return `${share}, ${phaseText[phase]}`;
    const speed = this.#bytesPerSecond();
    if (speed < 1) return share;
    const left = Math.ceil((totalBytes - doneBytes) / speed);
    return `${share}, ${formatBytes(speed)}/s, about ${formatSeconds(left)} left`;
  }

  #bytesPerSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined) return 0;
    const seconds = (this.#clock.monotonicMs() - first.atMs) / 1000;
    return seconds <= 0 ? 0 : (last.fetchedBytes - first.fetchedBytes) / seconds;
  }
}

const phaseText: Readonly<Record<Exclude<PullProgress["phase"], "fetching">, string>> = {
  unpacking: "unpacking",
  assembling: "putting the files in place",
};

const units = ["bytes", "kB", "MB", "GB", "TB", "PB"] as const;

/** A size for people, in powers of 1,000: `3.2 GB`. */
export function formatBytes(bytes: number): string {
  const power = powerOf(bytes);
  return bytes === 1 ? "1 byte" : `${scaled(bytes, power)} ${units[power]}`;
}

/** Two sizes in the second one's unit: `3.2 of 7.1 GB`. */
function sizePair(part: number, whole: number): string {
  const power = powerOf(whole);
  return `${scaled(part, power)} of ${scaled(whole, power)} ${units[power]}`;
}

function powerOf(bytes: number): number {
  let power = 0;
  while (power < units.length - 1 && bytes >= 1000 ** (power + 1)) power++;
  return power;
}

function scaled(bytes: number, power: number): string {
  const value = bytes / 1000 ** power;
  return power === 0 || value >= 100 ? String(Math.floor(value)) : value.toFixed(1);
}

function formatSeconds(seconds: number): string {
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`;
}
