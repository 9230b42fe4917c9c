/** A source of numbers that look random and are the same for the same seed. No secret may hang on it. */
export class Prng {
  #state: number;

  /** `seed` counts modulo 2^32. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
    // Neighbouring seeds would begin alike.
    for (let i = 0; i < 4; i++) this.#next();
  }

  /** A whole number from 0 to `limit - 1`; 0 where there is none. */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * Math.max(limit, 1));
  }

  /** True once in `of` times. */
  oneIn(of: number): boolean {
    return this.below(of) === 0;
  }

  /** One of these. */
  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0];
  }

  /** A length from 0 on, short ones far more often than long ones, below `limit`. */
  length(limit: number): number {
    return this.below(Math.min(limit, 2 ** this.below(Math.ceil(Math.log2(Math.max(limit, 2))) + 1)));
  }

  /** So many bytes. */
  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at++) bytes[at] = this.below(256);
    return bytes;
  }

  /** A Weyl sequence, its steps mixed. */
  #next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
}
