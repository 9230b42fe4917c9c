import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import type { TreeId } from "../cache/index.ts";
import { digestOf } from "../oci/index.ts";
import { findStandingDamage } from "./standing-damage.ts";

const idOf = (digit: string) => digit.repeat(64) as TreeId;

/** A cache with trees `a`, `b`, `c` and `d`, all of them whole. */
async function useTrees() {
  const area = await useCache();
  const { cache } = area;
  for (const digit of ["a", "b", "c", "d"]) {
    const staged = join(cache.layout.tmp, digit);
    mkdirSync(staged);
    writeFileSync(join(staged, "file"), digit);
    const manifest = digestOf(Buffer.from(digit));
    const references = [`ghcr.io/team/thing:${digit}`];
    await cache.commitTree(idOf(digit), staged, { manifest, bytes: 1, inodes: 2, layers: [], references });
  }
  return area;
}

test("trees that are whole are not told", async () => {
  await using area = await useTrees();
  assert.deepEqual(await findStandingDamage(area.cache, new Set()), []);
});

test("each damaged tree is told, whoever found it, by its last reference and since when", async () => {
  await using area = await useTrees();
  const { trees, layout } = area.cache;
  await trees.markDamaged(idOf("a"), '"file" has wrong bytes');
  rmSync(layout.treeFolder(idOf("b")), { recursive: true });
  writeFileSync(join(layout.treeFolder(idOf("c")), "new"), "");
  const found = await findStandingDamage(area.cache, new Set());
  const told = found.map((fault) => (fault.kind === "tree" ? { ...fault } : assert.fail(fault.kind)));
  assert.deepEqual(
    told.map(({ id, reference }) => [id, reference]).sort(),
    ["a", "b", "c"].map((digit) => [idOf(digit), `ghcr.io/team/thing:${digit}`]),
  );
  const says = Object.fromEntries(told.map((fault) => [fault.id[0], fault.says]));
  assert.match(says["a"] ?? "", /^found damaged at 2\d{3}-.*Z: "file" has wrong bytes$/);
  assert.equal(says["b"], "its folder is gone");
  assert.match(says["c"] ?? "", /^somebody put something into its folder/);
});

test("what was told already is not told again", async () => {
  await using area = await useTrees();
  for (const digit of ["a", "b"]) await area.cache.trees.markDamaged(idOf(digit), "wrong");
  const found = await findStandingDamage(area.cache, new Set([idOf("a")]));
  assert.deepEqual(
    found.map((fault) => fault.kind === "tree" && fault.id),
    [idOf("b")],
  );
});

test("a tree that goes while its record is looked at is not told", async () => {
  await using area = await useTrees();
  const { cache } = area;
  await cache.trees.markDamaged(idOf("a"), "wrong");
  const hold = cache.leases.hold.bind(cache.leases);
  cache.leases.hold = async (name) => {
    rmSync(cache.layout.treeRecord(idOf("a")));
    return hold(name);
  };
  assert.deepEqual(await findStandingDamage(cache, new Set()), []);
});
