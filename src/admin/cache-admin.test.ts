import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
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
  const verifier = new Verifier({ cache, partsOf: async () => undefined, clock: systemClock, log });
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

test("a digest is named by its digits alone, too, in capitals or not", async () => {
  await using area = await useAdmin();
  const { remove } = area;
  const [b, c] = ["b", "c"].map((text) => digestOf(Buffer.from(text)));
  assert.deepEqual(await remove(b?.slice("sha256:".length, "sha256:".length + 6) ?? ""), ["b removed"]);
  assert.deepEqual(await remove(c?.slice("sha256:".length).toUpperCase() ?? ""), ["c removed"]);
  assert.deepEqual(await remove(`SHA256:${digestOf(Buffer.from("a")).slice(7, 19)}`), ["a leased"]);
});

const explained: [word: string, says: RegExp][] = [
  ["bbbbb", /named by "bbbbb": of an id or a digest, 6 digits or more are needed; oras-csi cache ls shows them$/],
  ["sha256:bbb", /of an id or a digest, 6 digits or more are needed/],
  ["0bbbbb", /named by "0bbbbb": see oras-csi cache ls for ids, digests and references$/],
  [
    "ghcr.io/team/thing",
    /named by "ghcr.io\/team\/thing", which means ghcr.io\/team\/thing:latest; of its repository there are ghcr.io\/team\/thing:a, .*:all, .*:b, .*:c$/,
  ],
  ["team/thing:a", /"team\/thing:a", which means docker.io\/team\/thing:a: see oras-csi cache ls /],
];
for (const [word, says] of explained) {
  test(`what may be meant is said of a name that no tree has: ${word}`, async () => {
    await using area = await useAdmin();
    await assert.rejects(area.remove(word), says);
  });
}

test("trees of one beginning are named by their ids", async () => {
  await using area = await useAdmin();
  const { cache } = area;
  const other = `${"b".repeat(60)}cccc` as TreeId;
  const staged = join(cache.layout.tmp, "other");
  mkdirSync(staged);
  const manifest = digestOf(Buffer.from("b"));
  await cache.commitTree(other, staged, { manifest, bytes: 0, inodes: 1, layers: [], references: [] });
  const says = (beginning: string) =>
    new RegExp(`2 trees begin with ${beginning}: give more of one's id: (b{64}, b{60}c{4}|b{60}c{4}, b{64})$`);
  await assert.rejects(area.remove("bbbbbbbb"), says("bbbbbbbb"));
  await assert.rejects(area.remove(manifest.slice(0, 20)), says(manifest.slice(0, 20)));
  assert.deepEqual(await area.remove(manifest), ["b removed", "b removed"], "a whole digest names all of its trees");
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

test("prune takes folders without a record, pinned ones with --all only, and none that a volume has", async () => {
  await using area = await useAdmin();
  const { layout, leases } = area.cache;
  const [pinned, left, shown] = [idOf("d"), idOf("e"), idOf("f")];
  for (const id of [pinned, left, shown]) mkdirSync(layout.treeFolder(id));
  writeFileSync(layout.treePin(pinned), "{}");
  using _ = await leases.hold(shown);
  const prune = async (all: boolean) => {
    await area.admin.call("prune", { all, unusedMs: null }, { signal });
    return [pinned, left, shown].map((id) => existsSync(layout.treeFolder(id)));
  };
  assert.deepEqual(await prune(false), [true, false, true]);
  assert.deepEqual(await prune(true), [false, false, true]);
  assert.equal(existsSync(layout.treePin(pinned)), false);
});

test("a call that there is not is refused", async () => {
  await using area = await useAdmin();
  for (const name of ["toString", "nothing", ""]) {
    await assert.rejects(area.admin.call(name as "list", {}, { signal }), /there is no call/);
  }
});
