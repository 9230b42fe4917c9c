import assert from "node:assert/strict";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useArtifacts } from "../../test/helpers/artifacts-bench.ts";
import { artifact, fileLayer, index } from "../../test/registry/index.ts";
import { parseDigest } from "../oci/index.ts";
import type { ArtifactRequest } from "./artifacts.ts";

const thing = artifact([fileLayer("a", "1")]);

/** What `Artifacts.cached` says, after one volume of namespace blue has had `pushed`. */
async function use(pushed = thing) {
  const used = await useArtifacts();
  await used.pushThing(pushed);
  assert.equal(await used.cached(), undefined);
  const tree = await used.present();
  used.registry.log.clear();
  return { ...used, cache: used.area.cache, tree };
}

test("what the cache has is found, under a lease, only for whom nothing has to be asked", async () => {
  await using used = await use();
  const { cache, tree } = used;
  const found = await used.cached({ volume: "v2" });
  assert.deepEqual(found?.tree, tree);
  assert.equal(cache.leases.count(tree.id), 1);
  found.lease.release();
  const others: Partial<ArtifactRequest>[] = [
    { policy: "Always" },
    { namespace: "green" },
    { transport: "https" },
    { selection: { mediaTypes: [], titles: ["b"] } },
    { secrets: { ".dockerconfigjson": "{" } },
  ];
  for (const other of others) assert.equal(await used.cached(other), undefined, JSON.stringify(other));
  rmSync(join(tree.folder, "a"));
  assert.equal(await used.cached(), undefined, "a damaged tree");
  assert.equal(cache.leases.count(tree.id), 0);
  assert.deepEqual(used.registry.log.entries, []);
});

test("a tree whose manifest somebody deleted is asked for again", async () => {
  await using used = await use();
  rmSync(used.cache.layout.blob(used.tree.manifest));
  assert.equal(await used.cached(), undefined);
});

test("a tree is found by an index, one that is not all there is not", async () => {
  await using used = await use(index([{ manifest: thing, platform: { os: "linux", architecture: "amd64" } }]));
  const found = await used.cached();
  assert.equal(found?.tree.id, used.tree.id);
  found.lease.release();
  rmSync(used.cache.layout.blob(used.tree.manifest));
  assert.equal(await used.cached(), undefined);
});

test("an index is read once, as long as its file is the same", async (t) => {
  const pushed = index([{ manifest: thing, platform: { os: "linux", architecture: "amd64" } }]);
  await using used = await use(pushed);
  const read = t.mock.method(used.cache.blobs, "read");
  for (let i = 0; i < 2; i++) (await used.cached())?.lease.release();
  assert.equal(read.mock.callCount(), 0, "it is known since it was fetched");
  const file = used.cache.layout.blob(parseDigest(pushed.digest));
  chmodSync(file, 0o600);
  writeFileSync(file, "something else");
  assert.equal(await used.cached(), undefined);
  assert.equal(read.mock.callCount(), 1);
});
