import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { paxEntry, tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { layerDiskUse } from "./layer-disk-use.ts";
import { writeLayerIndex } from "./layer-index-file.ts";

/** What a tar takes once it is unpacked, by its index. */
async function useOf(...entries: readonly Buffer[]) {
  using area = createUnpackArea();
  const indexFile = join(area.folder, "index");
  writeLayerIndex((await unpackBytes(tarOf(...entries), area.root)).index, indexFile);
  return layerDiskUse(indexFile);
}

test("files take whole blocks, each once; folders and links take inodes", async () => {
  const { bytes, inodes } = await useOf(
    tarEntry({ name: "d/", type: "5" }),
    tarEntry({ name: "d/a", data: "a".repeat(4097) }),
    tarEntry({ name: "d/b", type: "1", linkName: "d/a" }),
    tarEntry({ name: "c", data: "c" }),
    tarEntry({ name: "l", type: "2", linkName: "c" }),
  );
  assert.deepEqual([bytes, inodes], [3 * 4096, 5]);
});

for (const map of ["0,1", `${2 ** 30},1`, `${2 ** 30},1,5000,1`, "7,0"]) {
  test(`the holes of a sparse file take nothing: ${map}`, async () => {
    const { bytes } = await useOf(
      paxEntry({ "GNU.sparse.map": map, "GNU.sparse.realsize": `${2 ** 40}` }),
      tarEntry({ name: "sparse", data: "x".repeat(1024) }),
      tarEntry({ name: "hard", type: "1", linkName: "sparse" }),
    );
    assert.equal(bytes, map.split(",").filter((number) => number === "1").length * 4096);
  });
}
