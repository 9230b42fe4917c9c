import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import { volumeKeyOf } from "./records.ts";
import { UpperLayers } from "./upper-layers.ts";

const KEY = volumeKeyOf("v", "/a");
const isRoot = process.getuid?.() === 0;

test("anybody may write at the root, whatever the umask; what is around it is closed", async () => {
  await using area = await useCache();
  const umask = process.umask(0o077);
  const { upper, work } = await new UpperLayers(area.cache).prepare(KEY, "").finally(() => process.umask(umask));
  assert.equal(statSync(upper).mode & 0o7777, 0o777);
  assert.equal(statSync(dirname(upper)).mode & 0o7777, 0o700);
  assert.ok(statSync(work).isDirectory());
});

test("a group gets the root and hands it down", { skip: isRoot ? false : "giving files away needs root" }, async () => {
  await using area = await useCache();
  const { upper } = await new UpperLayers(area.cache).prepare(KEY, "4321");
  const { gid, mode } = statSync(upper);
  assert.deepEqual([gid, mode & 0o7777], [4321, 0o2777]);
});

test("what was written is found again, and goes at once when the volume does", async () => {
  await using area = await useCache();
  const layers = new UpperLayers(area.cache);
  const { upper } = await layers.prepare(KEY, "");
  writeFileSync(join(upper, "mine"), "m");
  assert.equal(readFileSync(join((await layers.prepare(KEY, "")).upper, "mine"), "utf8"), "m");
  await layers.discard(KEY);
  assert.ok(!existsSync(dirname(upper)));
  await layers.discard(KEY);
});
