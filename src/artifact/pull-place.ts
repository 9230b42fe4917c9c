import type { Clock } from "../base/index.ts";
import { untilAborted } from "../registry/index.ts";
import type { PlaceAsk } from "./worker-calls.ts";

/** An answer may be waited for so long before the pull lets others go first. */
const ANSWER_MS = 250;

/** What is waited for: the registry's answer, the time of the next try, or another pull that fetches the same blob. */
type Waiting = "answer" | "pause" | "pull";

/** How much all pulls that are away may hold: they keep their layers, and there may be hundreds. */
export class AwayRoom {
  #left = 20_000;

  /** Takes room for so many layers; false if there is none. */
  take(layers: number): boolean {
    if (layers > this.#left) return false;
    this.#left -= layers;
    return true;
  }

  giveBack(layers: number): void {
    this.#left += layers;
  }
}

/** What a pull's place needs. */
export interface PullPlaceOptions {
  readonly ask: (ask: PlaceAsk) => Promise<unknown>;
  readonly clock: Clock;
  readonly room: AwayRoom;
  /** How many layers the pull has. */
  readonly layers: number;
}

/**
 * A pull's place among those that the node has: while nothing comes for any of its blobs (a registry does not answer, or
 * wants to be asked later) others have it. It is taken again before bytes are.
 */
export class PullPlace {
  readonly #options: PullPlaceOptions;
  readonly #fetches = new Set<FetchTurn>();
  #cancelTimer: (() => void) | undefined;
  #delayMs = 0;
  #isAway = false;
  #hasRoom = false;
  /** The last of its moves, which come one after the other. */
  #moving: Promise<unknown> = Promise.resolve();

  constructor(options: PullPlaceOptions) {
    this.#options = options;
  }

  /** One more of the pull's blobs is being fetched; `over` in any case. */
  begin(signal: AbortSignal): FetchTurn {
    const turn = new FetchTurn({
      changed: () => this.#changed(),
      held: () => untilAborted(this.#held(), signal),
      over: () => {
        this.#fetches.delete(turn);
        this.#changed();
      },
    });
    this.#fetches.add(turn);
    return turn;
  }

  #changed(): void {
    const waiting = [...this.#fetches].map(({ idleFor }) => idleFor);
    const isIdle = waiting.length > 0 && !waiting.includes(undefined);
    const delayMs = waiting.includes("answer") ? ANSWER_MS : 0;
    if (this.#cancelTimer !== undefined && isIdle && delayMs === this.#delayMs) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (!isIdle || this.#isAway) return;
    this.#delayMs = delayMs;
    this.#cancelTimer = this.#options.clock.after(delayMs, () => this.#leave());
  }

  /** The pull ends. */
  end(): void {
    this.#cancelTimer?.();
    this.#giveRoomBack();
  }

  #leave(): void {
    this.#cancelTimer = undefined;
    const { room, layers, ask } = this.#options;
    // One that waits for another pull must let go in any case: the other one may be waiting for this place.
    const waitsForPull = [...this.#fetches].some(({ idleFor }) => idleFor === "pull");
    this.#hasRoom ||= room.take(layers);
    if (!this.#hasRoom && !waitsForPull) return;
    this.#isAway = true;
    this.#move(() => ask({ place: "leave" }));
  }

  async #held(): Promise<void> {
    if (this.#isAway) {
      this.#isAway = false;
      this.#move(() => this.#options.ask({ place: "take" }).finally(() => this.#giveRoomBack()));
    }
    await this.#moving;
  }

  #move(step: () => Promise<unknown>): void {
    this.#moving = this.#moving.then(step);
    // Told to those who wait for the place; if nobody does, the pull has ended.
    this.#moving.catch(() => undefined);
  }

  #giveRoomBack(): void {
    if (this.#hasRoom) this.#options.room.giveBack(this.#options.layers);
    this.#hasRoom = false;
  }
}

/** One blob's part in its pull's place. */
export class FetchTurn {
  readonly #place: { changed(): void; held(): Promise<void>; over(): void };
  /** What is waited for, while nothing comes. */
  idleFor: Waiting | undefined;

  constructor(place: { changed(): void; held(): Promise<void>; over(): void }) {
    this.#place = place;
  }

  /** Nothing comes now. */
  idle(what: Waiting): void {
    this.idleFor = what;
    this.#place.changed();
  }

  /** Something is about to come: resolves when the pull has its place; rejects with the signal's reason. */
  async busy(): Promise<void> {
    this.idleFor = undefined;
    this.#place.changed();
    await this.#place.held();
  }

  /** It ended, one way or the other. */
  over(): void {
    this.#place.over();
  }
}
