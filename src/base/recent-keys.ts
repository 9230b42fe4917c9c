import { createHash } from "node:crypto";

/** Remembers when something last happened, for the `limit` keys that were noted last: bounded, whatever callers send. */
export class RecentKeys {
  /** Oldest first. Keys are hashed, as they may be long. */
  readonly #noted = new Map<string, number>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** When `parts` were last noted, if that is remembered. */
  get(...parts: readonly string[]): number | undefined {
    return this.#noted.get(hash(parts));
  }

  /** Notes `parts` at a time; forgets the oldest when there are too many. */
  note(atMs: number, ...parts: readonly string[]): void {
    const key = hash(parts);
    this.#noted.delete(key);
    this.#noted.set(key, atMs);
    if (this.#noted.size <= this.#limit) return;
    const oldest = this.#noted.keys().next();
    if (!oldest.done) this.#noted.delete(oldest.value);
  }
}

function hash(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64");
}
