import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { flipByte } from "../../test/verify/verify-bench.ts";
import { digestOf } from "../oci/index.ts";
import { LayerPresence } from "./layer-presence.ts";

for (const size of [5, 1024 * 1024, 3 * 1024 * 1024 + 5]) {
  test(`a blob of ${size} bytes is there if all of it is right, where all bytes are read`, async (t) => {
    const { blobs, layout } = await useDataDir(t).open();
    const bytes = randomBytes(size);
    const digest = digestOf(bytes);
    await blobs.put(digest, bytes);
    const has = (isThorough: boolean) => {
      const { signal } = new AbortController();
      const presence = new LayerPresence({ layout, blobs, isThorough, signal });
      return presence.has({ kind: "file", descriptor: { digest, size }, path: "a", uncompressedDigest: undefined });
    };
    assert.equal(await has(true), true);
    flipByte(layout.blob(digest));
    assert.equal(await has(true), false);
    assert.equal(await has(false), true, "without that only its size counts");
  });
}
