import { type Clock, counted, DriverError, describeError, type Logger, type PullIncrease } from "../base/index.ts";
import type { Cache, DiskUse, Reservation, Shortage, TreeId } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import { copiedBytes } from "./mode-copies.ts";
import { formOf, type PlacedLayer } from "./placed-layer.ts";
import { formatBytes } from "./progress.ts";
import type { FailedTry, PullProgress } from "./worker-calls.ts";

/** What a pull is about to write, and for what. */
export interface PullRoomOptions {
  readonly cache: Cache;
  readonly clock: Clock;
  readonly log: Logger;
  /** What messages call the artifact. */
  readonly reference: string;
  readonly treeId: TreeId;
  /** Whose unfinished downloads are gone on with. */
  readonly origin: string;
  /** The manifest, and the config where one is read: they are there already, and stay. */
  readonly documents: readonly Digest[];
  readonly layers: readonly PlacedLayer[];
  readonly onEvent: (event: PullProgress | FailedTry) => void;
}

/** What runs once there is room; it hears of events through what it is given. */
export type RoomyWork<T> = (onEvent: PullRoomOptions["onEvent"]) => Promise<T>;

/** Whether there is room is looked at so often while a pull runs. */
const LOOK_MS = 1_000;
/** So often a pull begins again after the disk was full, each time with twice the room. */
const MAX_TRIES = 5;
/** At least so much is freed then: it is not known what a tar unpacks to. */
const LEAST_FREED: DiskUse = { bytes: 16 * 1024 * 1024, inodes: 1_000 };

/**
 * Runs a pull under leases of its tree and of all that it is made of, with room for what it writes: before it starts, and
 * while it runs, all goes from the cache that nobody uses, as far as it must. Throws "no-space", with figures and with
 * nothing left of the pull, if it does not fit all the same.
 */
export async function withPullRoom<T>(options: PullRoomOptions, work: RoomyWork<T>): Promise<T> {
  const { cache, treeId, documents, layers } = options;
  const digests = new Set(layers.map(({ descriptor }) => descriptor.digest));
  try {
    using _ = await cache.leases.holdAll([treeId, ...documents, ...digests]);
    return await tryWithRoom(options, work);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    for (const document of documents) digests.delete(document);
    await cache.room.forget(digests);
    throw error instanceof NoRoom ? error : await withFigures(cache, error);
  }
}

/** What a pull has written must fit into `--cache-max-bytes`, and what tars unpack to is known only now. */
export async function requireSettled(cache: Cache, reference: string, layers: readonly PlacedLayer[]): Promise<void> {
  const shortage = await cache.room.settle(copiedBytes(layers));
  if (shortage !== undefined) throw noRoom(reference, shortage);
}

async function tryWithRoom<T>(options: PullRoomOptions, work: RoomyWork<T>): Promise<T> {
  const { cache, reference } = options;
  using reservation = await cache.room.reserve(() => needOf(options));
  // Each try counts from nothing; who listens wants to hear of one pull.
  let before = noCounts;
  let sum = noCounts;
  const onEvent: PullRoomOptions["onEvent"] = (event) => {
    if (!("doneBytes" in event)) return options.onEvent(event);
    sum = sumOf(before, event);
    options.onEvent({ ...event, ...sum });
  };
  for (let tries = 1; ; tries++) {
    const shortage = await cache.room.make(reservation);
    if (shortage !== undefined) throw noRoom(reference, shortage);
    const need = reservation.left;
    const since = cache.room.timesTaken;
    try {
      return await whileWatched({ ...options, onEvent }, reservation, work);
    } catch (error) {
      if (!isNoSpace(error) || error instanceof NoRoom || tries === MAX_TRIES) throw error;
      const more = (least: number, needed: number) => Math.max(least, needed) * 2 ** tries;
      const { bytes, inodes } = LEAST_FREED;
      const wanted = { bytes: more(bytes, need.bytes), inodes: more(inodes, need.inodes) };
      if (!(await cache.room.free(wanted, since))) throw error;
    }
    reservation.left = await needOf(options);
    before = sum;
  }
}

const noCounts: PullIncrease = { fetchedBytes: 0, mirrorBytes: 0, resumedBytes: 0, retries: 0 };

function sumOf(a: PullIncrease, b: PullIncrease): PullIncrease {
  return {
    fetchedBytes: a.fetchedBytes + b.fetchedBytes,
    mirrorBytes: a.mirrorBytes + b.mirrorBytes,
    resumedBytes: a.resumedBytes + b.resumedBytes,
    retries: a.retries + b.retries,
  };
}

/** Looks every second whether what is left to be written still fits, and makes room if not. */
async function whileWatched<T>(options: PullRoomOptions, reservation: Reservation, work: RoomyWork<T>): Promise<T> {
  const { cache, clock, log, onEvent } = options;
  const need = reservation.left;
  let ended = false;
  let cancel: () => void = () => undefined;
  let looking: Promise<unknown> = Promise.resolve();
  const lookLater = () => {
    cancel = clock.after(LOOK_MS, () => {
      looking = cache.room
        .keep()
        .catch((error: unknown) => log.warn("cannot look whether there is room", { reason: describeError(error) }))
        .finally(() => {
          if (!ended) lookLater();
        });
    });
  };
  lookLater();
  try {
    return await work((event) => {
      if ("doneBytes" in event) {
        const left = (total: number) => Math.max(0, total - event.doneBytes);
        reservation.left = { bytes: left(need.bytes), inodes: need.inodes };
      }
      onEvent(event);
    });
  } finally {
    ended = true;
    cancel();
    await looking;
  }
}

/**
 * The least that a pull still writes: what the cache lacks, less what earlier tries left of it; tars unpacked (to their
 * packed size at least), and one of them packed beside it; files that are copies, since they have modes of their own.
 */
async function needOf({ cache, layers, origin }: PullRoomOptions): Promise<DiskUse> {
  const byKey = new Map(layers.map((layer) => [`${layer.kind} ${layer.descriptor.digest}`, layer]));
  const partialBytes = await cache.partials(origin);
  let [bytes, packedTar, inodes] = [0, 0, 2];
  for (const { descriptor, kind } of byKey.values()) {
    const { digest, size } = descriptor;
    if (await cache.hasContent(descriptor, formOf(kind))) continue;
    const lacking = Math.max(0, size - (await partialBytes(digest)));
    inodes++;
    bytes += kind === "file" ? lacking : size;
    if (kind !== "file") packedTar = Math.max(packedTar, lacking);
  }
  return { bytes: bytes + packedTar + copiedBytes(layers), inodes };
}

function isNoSpace(error: unknown): error is DriverError {
  return error instanceof DriverError && error.kind === "no-space";
}

/** A pull that does not fit; its message has the figures. */
class NoRoom extends DriverError {
  constructor(message: string) {
    super("no-space", message);
  }
}

/** The disk was full in the middle: what the pull wrote is gone again, and what there is without it is told. */
async function withFigures(cache: Cache, error: DriverError): Promise<DriverError> {
  const { availableBytes, totalBytes, availableInodes, totalInodes } = await cache.room.space();
  const inodes = totalInodes === 0 ? "" : ` and ${availableInodes} of ${totalInodes} inodes`;
  const left = `without it, ${formatBytes(availableBytes)} of ${formatBytes(totalBytes)}${inodes} are left`;
  return new DriverError("no-space", `${error.message} (${left})`, error.cause);
}

function noRoom(reference: string, { of, needed, available, total }: Shortage): NoRoom {
  const left = Math.max(0, available);
  const [need, free, all] = of === "inodes" ? [needed, left, total] : [needed, left, total].map(formatBytes);
  const where = {
    bytes: `the file system of the driver's data dir has ${free} of ${all} left`,
    inodes: `the file system of the driver's data dir has ${free} of ${all} inodes left`,
    "max-bytes": `--cache-max-bytes is ${all}`,
  };
  const what =
    of === "inodes" ? `${counted(needed, "inode")} ${needed === 1 ? "is" : "are"} needed` : `${need} are needed`;
  return new NoRoom(`cannot pull ${reference}: ${what}, ${where[of]}, and nothing more can be taken out of the cache`);
}
