import { type Clock, Deadline } from "../base/index.ts";
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
  /** How many blobs are being fetched, by what they wait for; those for which something comes last. */
  readonly #counts = { answer: 0, pause: 0, pull: 0, nothing: 0 };
  readonly #deadline: Deadline;
  /** How long it waits to leave, while it does. */
  #delayMs: number | undefined;
  #isAway = false;
  #hasRoom = false;
  /** The last of its moves, which come one after the other. */
  #moving: Promise<void> | undefined;
  readonly #here = Promise.resolve();

  constructor(options: PullPlaceOptions) {
    this.#options = options;
    this.#deadline = new Deadline(options.clock);
  }

  /** One more of the pull's blobs is being fetched; `over` in any case. */
  begin(signal: AbortSignal): FetchTurn {
    this.#counts.nothing++;
    this.#changed();
    return new FetchTurn({
      changed: (from, to) => {
        this.#counts[from]--;
        if (to !== undefined) this.#counts[to]++;
        this.#changed();
      },
      held: () => this.#held(signal),
    });
  }

  #changed(): void {
    const { answer, pause, pull, nothing } = this.#counts;
    const isIdle = nothing === 0 && answer + pause + pull > 0;
    const delayMs = isIdle && !this.#isAway ? (answer > 0 ? ANSWER_MS : 0) : undefined;
    if (delayMs === this.#delayMs) return;
    this.#delayMs = delayMs;
    if (delayMs === undefined) this.#deadline.clear();
    else this.#deadline.set(delayMs, () => this.#leave());
  }

  /** The pull ends. */
  end(): void {
    this.#deadline.end();
    this.#giveRoomBack();
  }

  #leave(): void {
    this.#delayMs = undefined;
    const { room, layers, ask } = this.#options;
    // One that waits for another pull must let go in any case: the other one may be waiting for this place.
    const waitsForPull = this.#counts.pull > 0;
    this.#hasRoom ||= room.take(layers);
    if (!this.#hasRoom && !waitsForPull) return;
    this.#isAway = true;
    this.#move(() => ask({ place: "leave" }));
  }

  #held(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#isAway) {
      this.#isAway = false;
      this.#move(async () => {
        await this.#options.ask({ place: "take" });
        // It may have had to go again before it had its place.
        if (!this.#isAway) this.#giveRoomBack();
      });
    }
    return this.#moving === undefined ? this.#here : untilAborted(this.#moving, signal);
  }

  #move(step: () => Promise<unknown>): void {
    this.#moving = (this.#moving ?? this.#here).then(step).then(() => undefined);
    // Told to those who wait for the place; if nobody does, the pull has ended.
    this.#moving.catch(() => undefined);
  }

  #giveRoomBack(): void {
    if (this.#hasRoom) this.#options.room.giveBack(this.#options.layers);
    this.#hasRoom = false;
  }
}

/** What a blob waits for; "nothing": something comes for it. */
type State = Waiting | "nothing";

/** A pull's place, as one of its blobs sees it. */
interface PlaceOfTurn {
  /** The blob waits for something else now; undefined: it is over. */
  readonly changed: (from: State, to: State | undefined) => void;
  /** Resolves when the pull has its place. */
  readonly held: () => Promise<void>;
}

/** One blob's part in its pull's place. */
export class FetchTurn {
  readonly #place: PlaceOfTurn;
  #state: State | undefined = "nothing";

  constructor(place: PlaceOfTurn) {
    this.#place = place;
  }

  /** Nothing comes now. */
  idle(what: Waiting): void {
    this.#become(what);
  }

  /** Something is about to come: resolves when the pull has its place; rejects with the signal's reason. */
  busy(): Promise<void> {
    this.#become("nothing");
    return this.#place.held();
  }

  /** It ended, one way or the other. */
  over(): void {
    this.#become(undefined);
  }

  #become(state: State | undefined): void {
    const from = this.#state;
    if (from === undefined || from === state) return;
    this.#state = state;
    this.#place.changed(from, state);
  }
}
