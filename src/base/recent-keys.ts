import { createHash } from "node:crypto";
import { RecentMap } from "./recent-map.ts";

/** Remembers when something last happened, for the `limit` keys that were noted last: bounded, whatever callers send. */
export class RecentKeys {
  /** Keys are hashed, as they may be long. */
  readonly #noted: RecentMap<string, number>;

  constructor(limit: number) {
    this.#noted = new RecentMap(limit);
  }

  /** When `parts` were last noted, if that is remembered. */
  get(...parts: readonly string[]): number | undefined {
    return this.#noted.get(hash(parts));
  }

  /** Notes `parts` at a time; forgets the oldest when there are too many. */
  note(atMs: number, ...parts: readonly string[]): void {
    this.#noted.set(hash(parts), atMs);
  }
}

function hash(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64");
}
