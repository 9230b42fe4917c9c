const FIRST_ROOM = 1024;

/** Numbers of inodes, as many as a disk has: 16 to 32 bytes each. */
export class InodeSet {
  /** Each number at the first free place from its own on; 0 is free, and no inode. */
  #places = new Float64Array(FIRST_ROOM);
  #count = 0;

  /** Adds a number; false if it was there. */
  add(inode: number): boolean {
    if (2 * this.#count >= this.#places.length) this.#grow();
    const place = this.#placeOf(inode);
    if (this.#places[place] === inode) return false;
    this.#places[place] = inode;
    this.#count++;
    return true;
  }

  has(inode: number): boolean {
    return this.#places[this.#placeOf(inode)] === inode;
  }

  #grow(): void {
    const old = this.#places;
    this.#places = new Float64Array(old.length * 2);
    for (const inode of old) if (inode !== 0) this.#places[this.#placeOf(inode)] = inode;
  }

  /** Where a number is, or where it would be. */
  #placeOf(inode: number): number {
    const mask = this.#places.length - 1;
    const high = Math.trunc(inode / 2 ** 32);
    let place = (Math.imul(inode % 2 ** 32, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 7;
    place &= mask;
    while (this.#places[place] !== 0 && this.#places[place] !== inode) place = (place + 1) & mask;
    return place;
  }
}
