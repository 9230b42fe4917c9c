/** What Node's own class can be made from. */
type Init = Iterable<readonly [string, string]> | Readonly<Record<string, string>> | undefined;

/** A token of HTTP, and what no value may hold (RFC 9110, 5). */
const NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const FORBIDDEN = /[\0\r\n]/;

/**
 * Takes the place of the global class in the bundle of the program, where Connect uses it, as far as gRPC needs it:
 * Node's own comes with all of its HTTP client, which takes 20 ms and 2 MB of memory to load at the first call. Headers
 * come in the order in which they were set.
 */
export class Headers {
  readonly #values = new Map<string, string>();

  constructor(init?: Init) {
    if (init === undefined) return;
    const entries = Symbol.iterator in init ? (init as Iterable<readonly [string, string]>) : Object.entries(init);
    for (const [name, value] of entries) this.append(name, value);
  }

  append(name: string, value: string): void {
    const key = keyOf(name);
    const before = this.#values.get(key);
    const more = checked(value);
    this.#values.set(key, before === undefined ? more : `${before}, ${more}`);
  }

  set(name: string, value: string): void {
    this.#values.set(keyOf(name), checked(value));
  }

  get(name: string): string | null {
    return this.#values.get(keyOf(name)) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(keyOf(name));
  }

  delete(name: string): void {
    this.#values.delete(keyOf(name));
  }

  forEach(use: (value: string, name: string, headers: Headers) => void, self?: unknown): void {
    for (const [name, value] of this.#values) use.call(self, value, name, this);
  }

  entries(): IterableIterator<[string, string]> {
    return this.#values.entries();
  }

  keys(): IterableIterator<string> {
    return this.#values.keys();
  }

  values(): IterableIterator<string> {
    return this.#values.values();
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.#values.entries();
  }
}

function keyOf(name: string): string {
  if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} is no header's name`);
  return name.toLowerCase();
}

function checked(value: string): string {
  const text = String(value).trim();
  if (FORBIDDEN.test(text)) throw new TypeError("a header's value has a line end or a NUL in it");
  return text;
}
