import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { createLogger } from "../base/index.ts";
import type { DiskUse } from "../cache/index.ts";
import { volumeKeyOf } from "./records.ts";
import { UpperUsage } from "./upper-usage.ts";

const KEY = volumeKeyOf("v", "/a");
const NONE: DiskUse = { bytes: 0, inodes: 0 };

function use() {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-usage-"));
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLogger({ level: "warn", format: "json", write: (line) => lines.push(line) });
  const usage = new UpperUsage(clock, log);
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return { folder, clock, lines, usage, [Symbol.dispose]: dispose };
}

/** Asks until the answer is one that is wanted. */
async function asksUntil(ask: () => DiskUse, wanted: (usage: DiskUse) => boolean): Promise<DiskUse> {
  for (;;) {
    const usage = ask();
    if (wanted(usage)) return usage;
    await setImmediate();
  }
}

test("the first answer is nothing, a later one what was counted", async () => {
  using area = use();
  mkdirSync(join(area.folder, "a/b"), { recursive: true });
  writeFileSync(join(area.folder, "a/b/file"), "x".repeat(10_000));
  writeFileSync(Buffer.concat([Buffer.from(`${area.folder}/`), Buffer.from([0xff, 0xfe])]), "not UTF-8");
  symlinkSync("/", join(area.folder, "link"));
  assert.deepEqual(area.usage.of(KEY, area.folder), NONE);
  const { bytes, inodes } = await asksUntil(
    () => area.usage.of(KEY, area.folder),
    (usage) => usage.inodes > 0,
  );
  assert.equal(inodes, 5);
  assert.ok(bytes >= statSync(join(area.folder, "a/b/file")).blocks * 512 && bytes < 1_000_000, String(bytes));
});

test("a count rests a minute, then the next one begins", async () => {
  using area = use();
  writeFileSync(join(area.folder, "one"), "x");
  const ask = () => area.usage.of(KEY, area.folder);
  await asksUntil(ask, (usage) => usage.inodes === 1);
  writeFileSync(join(area.folder, "two"), "x");
  area.clock.advance(59_999);
  for (let i = 0; i < 20; i++) {
    assert.equal(ask().inodes, 1);
    await setImmediate();
  }
  area.clock.advance(1);
  assert.equal(ask().inodes, 1, "the old count until the new one is there");
  await asksUntil(ask, (usage) => usage.inodes === 2);
});

test("what cannot be counted is told once a rest, and is counted later", async () => {
  using area = use();
  const file = join(area.folder, "file");
  const loop = join(area.folder, "loop");
  symlinkSync("loop", loop);
  const ask = () => area.usage.of(KEY, loop);
  ask();
  while (area.lines.length === 0) await setImmediate();
  for (let i = 0; i < 20; i++) {
    assert.deepEqual(ask(), NONE);
    await setImmediate();
  }
  assert.equal(area.lines.length, 1);
  area.clock.advance(60_000);
  writeFileSync(file, "x");
  await asksUntil(
    () => area.usage.of(KEY, area.folder),
    (usage) => usage.inodes === 2,
  );
});

test("what lies deeper than a path can say is left out, the rest is counted", async () => {
  using area = use();
  const parts = Array.from({ length: 10 }, (_, i) => String(i).repeat(250));
  const [upper, lower] = [join(area.folder, "u", ...parts), join(area.folder, "l", ...parts)];
  mkdirSync(upper, { recursive: true });
  mkdirSync(lower, { recursive: true });
  writeFileSync(join(lower, "deep"), "x");
  renameSync(join(area.folder, "l"), join(upper, "l"));
  const ask = () => area.usage.of(KEY, area.folder);
  const { inodes } = await asksUntil(ask, (usage) => usage.inodes > 0);
  assert.ok(inodes > parts.length && inodes < 2 * parts.length + 3, String(inodes));
  assert.deepEqual(area.lines, []);
  renameSync(join(upper, "l"), join(area.folder, "l"));
});

test("a folder that is not there counts as nothing", async () => {
  using area = use();
  assert.deepEqual(area.usage.of(KEY, join(area.folder, "gone")), NONE);
  for (let i = 0; i < 20; i++) await setImmediate();
  assert.deepEqual(area.lines, []);
});

test("a volume that goes while it is counted is forgotten", async () => {
  using area = use();
  for (let i = 0; i < 50; i++) writeFileSync(join(area.folder, `file-${i}`), "x");
  area.usage.of(KEY, area.folder);
  area.usage.forget(KEY);
  const other = volumeKeyOf("v", "/b");
  await asksUntil(
    () => area.usage.of(other, area.folder),
    (usage) => usage.inodes === 50,
  );
  assert.deepEqual(area.usage.of(KEY, area.folder), NONE);
});
