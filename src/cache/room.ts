import { type Clock, DriverError, errnoOf } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import type { Collector } from "./collector.ts";
import {
  type DiskSpace,
  type DiskUse,
  excessOver,
  isSome,
  nothingUsed,
  readDiskSpace,
  sumOfUses,
} from "./disk-space.ts";
import type { Layout } from "./layout.ts";
import type { CacheLimits } from "./limits.ts";
import type { Sweeper } from "./sweeper.ts";

/** What a pull has still to write, as far as that is known. Smaller as it goes on. */
export interface Reservation extends Disposable {
  left: DiskUse;
  /** Looks what is left to be written; for when it matters. */
  readonly measure: () => Promise<DiskUse>;
}

/** Why there is no room, with the figures; all that may go is gone already. */
export interface Shortage {
  readonly of: "bytes" | "inodes" | "max-bytes";
  /** Bytes or inodes that are still to be written, for all pulls under way. */
  readonly needed: number;
  /** What is left for them. */
  readonly available: number;
  /** Of the file system, or `--cache-max-bytes`. */
  readonly total: number;
}

/** What room is made by. */
export interface RoomOptions {
  readonly collector: Collector;
  readonly sweeper: Pick<Sweeper, "idle">;
  readonly layout: Layout;
  readonly limits: CacheLimits;
  readonly clock: Clock;
}

/** Where nothing more could go, it is not tried again so soon. */
const REST_MS = 30_000;
/** So often, and so long each time, a pull that does not fit waits for others under way. */
const MAX_TRIES = 5;
const WAIT_MS = 2_000;
/** Manifests, records, and what file systems need beside them. */
const ROOM_FOR_SMALL_FILES: DiskUse = { bytes: 16 * 1024 * 1024, inodes: 100 };

/** A pull that needs room may have all that nobody uses. What running pulls have still to write counts as taken. */
export class Room {
  readonly #options: RoomOptions;
  /** In the order in which they came. */
  readonly #reservations = new Set<Reservation>();
  /** Those that room was made for: they write. */
  readonly #begun = new WeakSet<Reservation>();
  readonly #waiting: (() => void)[] = [];
  /** When nothing could go though a mark was passed, or though something did not fit. */
  #aboveInVainMs = Number.NEGATIVE_INFINITY;
  #missedInVainMs = Number.NEGATIVE_INFINITY;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Counts from now on what is to be written, until it is disposed of. */
  async reserve(measure: Reservation["measure"]): Promise<Reservation> {
    const dispose = () => {
      this.#reservations.delete(reservation);
      for (const wake of this.#waiting.splice(0)) wake();
    };
    const reservation: Reservation = { left: await measure(), measure, [Symbol.dispose]: dispose };
    this.#reservations.add(reservation);
    return reservation;
  }

  /**
   * Makes room for what is reserved, below the marks if it can be. What is short then is told. Of several that do not fit
   * together those that came later wait, as for those that write.
   */
  async make(reservation: Reservation): Promise<Shortage | undefined> {
    await this.#goBelowMarks();
    for (let tries = 1; ; tries++) {
      const shortage = await this.#makeNow(reservation);
      if (shortage === undefined) this.#begun.add(reservation);
      if (shortage === undefined || tries === MAX_TRIES || this.#before(reservation).length <= 1) return shortage;
      // Others write meanwhile, and what they need is a guess: it may fit when they are done.
      await this.#untilOneEnds();
    }
  }

  /** The same while pulls run, again and again: it costs nothing while there is room, and not much while there is none. */
  async keep(): Promise<void> {
    const { clock, collector } = this.#options;
    await this.#goBelowMarks();
    if (clock.monotonicMs() - this.#missedInVainMs < REST_MS || !isSome(await this.#missing())) return;
    if (!isSome(await collector.reduce("pull", () => this.#missing()))) this.#missedInVainMs = clock.monotonicMs();
  }

  /**
   * What a pull has written is there as a whole: does the cache fit into `--cache-max-bytes` with it? `ownBytes` are what
   * only its tree takes, which does not count before that is in its place.
   */
  async settle(ownBytes = 0): Promise<Shortage | undefined> {
    const { collector, limits } = this.#options;
    const { maxBytes } = limits;
    if (maxBytes === undefined) return undefined;
    const over = async () => {
      const { total } = await collector.usage();
      return { bytes: Math.max(0, total.bytes + ownBytes - maxBytes), inodes: 0 };
    };
    for (let triesInVain = 0; ; ) {
      const gone = await collector.reduce("max-bytes", over);
      const { bytes } = await over();
      if (bytes === 0) return undefined;
      // Others write meanwhile: what they have written may go when they are done, or went in vain.
      if (isSome(gone)) continue;
      if (++triesInVain === MAX_TRIES || this.#reservations.size <= 1)
        return { of: "max-bytes", needed: maxBytes + bytes, available: maxBytes, total: maxBytes };
      await this.#untilOneEnds();
    }
  }

  /** For `free`: how often something went from the cache so far, whoever wanted it gone. */
  get timesTaken(): number {
    return this.#options.collector.timesTaken;
  }

  /**
   * A disk was full in spite of it all: frees as much as is given, and says whether anything went since then, a `timesTaken`
   * from before the disk was written to. What another collection took meanwhile, as the watch over a running pull does, may
   * have been all that could go: it makes room as well.
   */
  async free(use: DiskUse, since: number): Promise<boolean> {
    // What was thrown away before, as by the pull that failed, is no gain, though it may be deleted only now.
    await this.#options.sweeper.idle();
    const before = await this.space();
    const missing = async () => {
      const now = await this.space();
      const gained = (free: (one: typeof now) => number) => free(now) - free(before);
      return {
        bytes: Math.max(0, use.bytes - gained((one) => one.availableBytes)),
        inodes: Math.max(0, use.inodes - gained((one) => one.availableInodes)),
      };
    };
    await this.#options.collector.reduce("pull", missing);
    return this.timesTaken > since;
  }

  /**
   * Writes something small. Where the disk is full, some of what nobody uses goes, and it is written then. Not for mounts:
   * what is "no-space" there is the node's mount limit.
   */
  async write<T>(work: () => Promise<T>): Promise<T> {
    const since = this.timesTaken;
    try {
      return await work();
    } catch (error) {
      if (!isFullDisk(error) || !(await this.free(ROOM_FOR_SMALL_FILES, since))) throw error;
      return work();
    }
  }

  /** How full the file system is now. */
  space(): Promise<DiskSpace> {
    return readDiskSpace(this.#options.layout.dataDir);
  }

  /** Takes away what a pull that has no room left behind. */
  forget(digests: Iterable<Digest>): Promise<void> {
    return this.#options.collector.dropUnused(digests, "pull");
  }

  async #makeNow(reservation: Reservation): Promise<Shortage | undefined> {
    const missing = () => this.#missing(this.#left(reservation));
    if (!isSome(await missing())) return undefined;
    // What other pulls have written meanwhile counts in the cache, and not once more.
    for (const each of this.#reservations) each.left = await each.measure();
    if (isSome(await missing())) await this.#options.collector.reduce("pull", missing);
    return this.#shortage(this.#left(reservation));
  }

  /** Where others filled the file system nothing may go, and each pull would look for it anew. */
  async #goBelowMarks(): Promise<void> {
    const { clock, collector } = this.#options;
    if (clock.monotonicMs() - this.#aboveInVainMs < REST_MS || !isSome(await this.#overMark("highPercent"))) return;
    const over = () => collector.beyondShare(() => this.#overMark("lowPercent"));
    const gone = await collector.reduce("high-mark", over);
    if (!isSome(gone)) this.#aboveInVainMs = clock.monotonicMs();
  }

  #untilOneEnds(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(WAIT_MS, resolve);
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** What is reserved beyond a mark. */
  async #overMark(mark: "highPercent" | "lowPercent"): Promise<DiskUse> {
    const { limits } = this.#options;
    const space = await this.space();
    const { bytes, inodes } = this.#left();
    return excessOver(limits[mark], {
      ...space,
      availableBytes: space.availableBytes - bytes,
      availableInodes: space.availableInodes - inodes,
    });
  }

  /** What does not fit at all. */
  async #missing(left = this.#left()): Promise<DiskUse> {
    const space = await this.space();
    const inodes = space.totalInodes === 0 ? 0 : Math.max(0, left.inodes - space.availableInodes);
    return { bytes: Math.max(0, left.bytes - space.availableBytes, await this.#overMaxBytes(left)), inodes };
  }

  async #overMaxBytes(left: DiskUse): Promise<number> {
    const { collector, limits } = this.#options;
    if (limits.maxBytes === undefined) return 0;
    return (await collector.usage()).total.bytes + left.bytes - limits.maxBytes;
  }

  async #shortage(left: DiskUse): Promise<Shortage | undefined> {
    const { limits } = this.#options;
    const { availableBytes, totalBytes, availableInodes, totalInodes } = await this.space();
    const { bytes, inodes } = left;
    if (bytes > availableBytes) return { of: "bytes", needed: bytes, available: availableBytes, total: totalBytes };
    if (totalInodes > 0 && inodes > availableInodes)
      return { of: "inodes", needed: inodes, available: availableInodes, total: totalInodes };
    const over = await this.#overMaxBytes(left);
    if (limits.maxBytes === undefined || over <= 0) return undefined;
    return { of: "max-bytes", needed: bytes, available: bytes - over, total: limits.maxBytes };
  }

  /** What is still to be written by all, or by one and those before it. */
  #left(reservation?: Reservation): DiskUse {
    return sumOfUses([nothingUsed, ...this.#before(reservation).map(({ left }) => left)]);
  }

  /** One that waits for room, those that write, and those that came before it; all without one. */
  #before(reservation: Reservation | undefined): readonly Reservation[] {
    const all = [...this.#reservations];
    const own = reservation === undefined ? all.length : all.indexOf(reservation);
    return all.filter((each, at) => at <= own || this.#begun.has(each));
  }
}

/** From this thread, or from another one that has put it into words already. */
function isFullDisk(error: unknown): boolean {
  if (error instanceof DriverError) return error.kind === "no-space";
  return ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");
}
