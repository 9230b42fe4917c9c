const FIRST_ROOM = 1024;

/** Numbers of inodes, as many as a disk has: 8 bytes each. All are added before any is asked for. */
export class InodeSet {
  #numbers = new Float64Array(FIRST_ROOM);
  #count = 0;
  #isSorted = true;

  add(inode: number): void {
    if (this.#count === this.#numbers.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#count++] = inode;
    this.#isSorted = false;
  }

  has(inode: number): boolean {
    if (!this.#isSorted) this.#numbers.subarray(0, this.#count).sort();
    this.#isSorted = true;
    let [low, high] = [0, this.#count - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const number = this.#numbers[middle] ?? 0;
      if (number === inode) return true;
      if (number < inode) low = middle + 1;
      else high = middle - 1;
    }
    return false;
  }
}
