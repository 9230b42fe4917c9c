import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { createBlobHash } from "./blob-hash.ts";

for (const algorithm of ["sha256", "sha512"] as const) {
  for (const size of [0, 1, 4096, 8192, 8193, 100_000]) {
    test(`${size} bytes have the ${algorithm} that they have, however they come`, () => {
      const bytes = randomBytes(size);
      const due = (length: number) => createHash(algorithm).update(bytes.subarray(0, length)).digest("hex");
      const hash = createBlobHash(algorithm, size);
      const cut = Math.floor(size / 3);
      for (const [start, end] of [
        [0, cut],
        [cut, cut],
        [cut, size],
      ] as const) {
        const chunk = Buffer.from(bytes.subarray(start, end));
        hash.update(chunk);
        // The memory of a chunk is used again.
        chunk.fill(0);
        assert.equal(hash.hex(), due(end));
      }
    });
  }
}

test("a small blob takes no more bytes than it has", () => {
  const hash = createBlobHash("sha256", 4);
  hash.update(Buffer.from("abcd"));
  assert.throws(() => hash.update(Buffer.from("e")), /more bytes/);
});
