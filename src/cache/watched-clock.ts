import { promises as fs } from "node:fs";
import type { Clock } from "../base/index.ts";
import type { JsonObject } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import { type CacheClock, UNSET_MS } from "./moment.ts";
import { numberAt, textAt } from "./state-file.ts";

/** What both clocks said at one time in a run of the node. */
interface Sighting {
  readonly boot: string;
  readonly wallMs: number;
  readonly steadyMs: number;
}

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/**
 * A clock that remembers over restarts of the driver what it said when the node's wall clock had had time to be set. If
 * that is set ahead later, what lies on disk is not as old as it seems to a driver that starts then.
 */
export class WatchedClock implements CacheClock {
  /** How far the wall clock was set ahead in this run of the node, before the data dir was opened. */
  readonly aheadMs: number;
  readonly #dataDir: DataDir;
  readonly #clock: Clock;
  /** Undefined where the kernel does not say which run it is. */
  readonly #boot: string | undefined;
  #isNoted: boolean;

  private constructor(dataDir: DataDir, clock: Clock, boot: string | undefined, noted: Sighting | undefined) {
    this.#dataDir = dataDir;
    this.#clock = clock;
    this.#boot = boot;
    this.#isNoted = noted !== undefined;
    const passedMs = noted === undefined ? 0 : clock.monotonicMs() - noted.steadyMs;
    this.aheadMs = noted === undefined ? 0 : Math.max(0, clock.now() - noted.wallMs - passedMs);
  }

  /** Reads what was noted. */
  static async open(dataDir: DataDir, clock: Clock): Promise<WatchedClock> {
    // In a sandbox that hides it, say: then each run of the driver is alone.
    const boot = await fs.readFile(BOOT_ID, "utf8").catch(() => undefined);
    const noted = await dataDir.state.read(dataDir.layout.clockFile, sightingFrom);
    return new WatchedClock(dataDir, clock, boot?.trim(), noted?.boot === boot?.trim() ? noted : undefined);
  }

  now(): number {
    return this.#clock.now();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(...timer: Parameters<Clock["after"]>): () => void {
    return this.#clock.after(...timer);
  }

  /** Notes what the clocks say, once in each run of the node. */
  async note(): Promise<void> {
    const [boot, clock, { state, layout, isNewer }] = [this.#boot, this.#clock, this.#dataDir];
    const steadyMs = clock.monotonicMs();
    if (this.#isNoted || boot === undefined || isNewer || steadyMs < UNSET_MS) return;
    await state.write(layout.clockFile, { boot, wallMs: clock.now(), steadyMs });
    this.#isNoted = true;
  }
}

function sightingFrom(value: JsonObject): Sighting {
  return { boot: textAt(value, "boot"), wallMs: numberAt(value, "wallMs"), steadyMs: numberAt(value, "steadyMs") };
}
