/** What the last moments of a download were like. */
export interface DownloadSample {
  readonly nowMs: number;
  /** All that came so far. */
  readonly receivedBytes: number;
  /** What nobody has fetched yet. */
  readonly leftBytes: number;
  readonly connections: number;
  /** The share of the time that this thread worked: receiving, hashing and writing are its work. */
  readonly threadLoad: number;
  /** Bytes had to wait until they might be written: something else than the connection sets the pace. */
  readonly sinkWaited: boolean;
}

/** design.md, Threads: "at most 8 a blob". */
const mostConnections = 8;
/** Above this the thread, or the disk that it writes to, is what limits. */
const busyLoad = 0.6;
/** So much faster it must have become by more connections, or the network is what limits. */
const worthwhileGain = 1.2;
/** What takes less longer needs no help. */
const shortMs = 1_000;

/** Decides how many connections should serve one blob, while one connection is what limits. */
export class ConnectionGrowth {
  #last: DownloadSample | undefined;
  /** The sample before was one of a connection that limits. */
  #wasSlow = false;
  /** Bytes a millisecond and connections when it last grew. */
  #before: { readonly speed: number; readonly connections: number } | undefined;

  /** How many connections there should be now: those that there are, or more. */
  wanted(sample: DownloadSample): number {
    const last = this.#last;
    this.#last = sample;
    if (last === undefined) return sample.connections;
    const speed = (sample.receivedBytes - last.receivedBytes) / Math.max(1, sample.nowMs - last.nowMs);
    const isLimited = sample.threadLoad >= busyLoad || sample.sinkWaited || speed <= 0;
    const isSlow = !isLimited && sample.leftBytes / speed >= shortMs;
    const isOnce = isSlow && !this.#wasSlow;
    this.#wasSlow = isSlow;
    // Once may be chance: a moment without a processor, or a packet that got lost.
    if (!isSlow || isOnce) return sample.connections;
    const before = this.#before;
    const hasGrown = before !== undefined && sample.connections > before.connections;
    if (hasGrown && speed < before.speed * worthwhileGain) return sample.connections;
    this.#before = { speed, connections: sample.connections };
    return Math.min(mostConnections, sample.connections * 2);
  }
}
