import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../oci/index.ts";
import { createLayout, type TreeId } from "./layout.ts";

const digest = digestOf(Buffer.from("x"));
const hex = digest.slice("sha256:".length);
const long = digestOf(Buffer.from("x"), "sha512");
const longHex = long.slice("sha512:".length);
const id = hex as TreeId;
const layout = createLayout("/var/lib/x");

const paths: [name: string, path: string, expected: string][] = [
  ["a blob", layout.blob(digest), `blobs/sha256/${hex}`],
  ["a blob by sha512", layout.blob(long), `blobs/sha512/${longHex}`],
  ["a layer's folder", layout.layerFolder(digest, "artifact"), `layers/sha256/${hex}.artifact`],
  ["a layer's folder of an image", layout.layerFolder(digest, "image"), `layers/sha256/${hex}.image`],
  ["a layer's index", layout.layerIndex(long, "image"), `layers/sha512/${longHex}.image.index`],
  ["a tree", layout.treeFolder(id), `trees/${hex}`],
  ["a tree's record", layout.treeRecord(id), `trees/${hex}.json`],
  ["a partial download", layout.ingestFile(digest, "x"), `ingest/sha256-${hex}-${hex.slice(0, 16)}`],
  ["the format", layout.formatFile, "format.json"],
  ["the lock", layout.lockFile, "lock"],
  ["what the clocks said", layout.clockFile, "clock.json"],
  ["the folder for what is half-made", layout.tmp, "tmp"],
  ["the mounter's own folder", layout.mounts, "mounts"],
];
for (const [name, path, expected] of paths) {
  test(`where ${name} is`, () => assert.equal(path, `/var/lib/x/${expected}`));
}

test("nothing of the layout is anywhere else", () => {
  const texts = Object.values(layout).filter((value) => typeof value === "string");
  assert.equal(texts.length, 14);
  for (const path of texts) assert.ok(path === "/var/lib/x" || path.startsWith("/var/lib/x/"));
});
