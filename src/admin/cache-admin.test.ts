import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import { systemClock } from "../base/index.ts";
import type { TreeId } from "../cache/index.ts";
import { digestOf } from "../oci/index.ts";
import { Verifier } from "../verify/index.ts";
import type { VolumeRecord } from "../volume/index.ts";
import { CacheAdmin } from "./cache-admin.ts";

const signal = new AbortController().signal;
const idOf = (digit: string) => digit.repeat(64) as TreeId;

/** A cache with trees `a`, `b` and `c`; a volume has `a`. */
async function useAdmin() {
  const area = await useCache();
  const { cache, log } = area;
  const verifier = new Verifier({ cache, clock: systemClock, log });
  const artifacts = { mendAll: async () => ({ mended: [], left: [] }) };
  const volume = { tree: idOf("a"), namespace: "prod", volumeId: "v1" } as VolumeRecord;
  await cache.leases.hold(idOf("a"));
  for (const digit of ["a", "b", "c"]) {
    const staged = join(cache.layout.tmp, digit);
    mkdirSync(staged);
    writeFileSync(join(staged, "file"), digit);
    const manifest = digestOf(Buffer.from(digit));
    const references = [`ghcr.io/team/thing:${digit}`, "ghcr.io/team/thing:all"];
    await cache.commitTree(idOf(digit), staged, { manifest, bytes: 1, inodes: 2, layers: [], references });
  }
  const admin = new CacheAdmin({ cache, artifacts, verifier, volumes: () => [volume] });
  return {
    cache,
    admin,
    remove: async (...trees: string[]) =>
      (await admin.call("remove", { trees }, { signal })).map(({ id, outcome }) => `${id[0]} ${outcome}`).sort(),
    async [Symbol.asyncDispose]() {
      await verifier.close();
      await area[Symbol.asyncDispose]();
    },
  };
}

test("trees are named by the beginning of their id or digest, or by a reference in any spelling", async () => {
  await using area = await useAdmin();
  const { remove } = area;
  assert.deepEqual(await remove("bbbbbb"), ["b removed"]);
  assert.deepEqual(await remove(digestOf(Buffer.from("c")).slice(0, 17)), ["c removed"]);
  assert.deepEqual(await remove("oras://GHCR.io/team/thing:a"), ["a leased"]);
});

test("a reference names all trees that it was used for", async () => {
  await using area = await useAdmin();
  assert.deepEqual(await area.remove("ghcr.io/team/thing:all"), ["a leased", "b removed", "c removed"]);
});

for (const word of ["bbbbb", "ghcr.io/team/thing:none", "", "../trees", "f".repeat(64)]) {
  test(`nothing is done for a name that no tree has: ${word}`, async () => {
    await using area = await useAdmin();
    await assert.rejects(area.remove("bbbbbb", word), /no tree in the cache is named by/);
    assert.equal(area.cache.inventory.size, 3);
  });
}

test("a leased tree is named with who holds it", async () => {
  await using area = await useAdmin();
  const ask = () => area.admin.call("remove", { trees: [idOf("a")] }, { signal });
  assert.deepEqual((await ask())[0]?.holders, ["prod/volume v1"]);
  const lease = await area.cache.leases.hold(idOf("b"));
  const [busy] = await area.admin.call("remove", { trees: [idOf("b")] }, { signal });
  assert.deepEqual([busy?.outcome, busy?.holders], ["leased", ["a pull or a publish under way"]]);
  lease.release();
});

test("prune leaves pinned trees, and with --all takes them, too", async () => {
  await using area = await useAdmin();
  const { admin } = area;
  await admin.call("pin", { trees: ["bbbbbb"] }, { signal });
  const first = await admin.call("prune", { all: false, unusedMs: null }, { signal });
  assert.deepEqual([first.trees, first.left], [1, 2]);
  const recent = await admin.call("prune", { all: true, unusedMs: 3_600_000 }, { signal });
  assert.deepEqual([recent.trees, recent.left], [0, 2]);
  assert.equal(area.cache.pins.isPinned(idOf("b")), true, "it was not old enough");
  const second = await admin.call("prune", { all: true, unusedMs: null }, { signal });
  assert.deepEqual([second.trees, second.left], [1, 1]);
});

test("a call that there is not is refused", async () => {
  await using area = await useAdmin();
  for (const name of ["toString", "nothing", ""]) {
    await assert.rejects(area.admin.call(name as "list", {}, { signal }), /there is no call/);
  }
});
