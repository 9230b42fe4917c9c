import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type TestDataDir, useDataDir } from "../../test/helpers/data-dir.ts";
import type { Clock } from "../base/index.ts";
import { openDataDir } from "./data-dir.ts";
import { WatchedClock } from "./watched-clock.ts";

const HOUR_MS = 3_600_000;
const SOON_MS = 9 * 60_000;

/** Opens the clock of a data dir, as a start of the driver does that finds these times. */
async function openAt({ path, log }: TestDataDir, wallMs: number, steadyMs: number): Promise<WatchedClock> {
  const clock: Clock = { now: () => wallMs, monotonicMs: () => steadyMs, after: () => () => undefined };
  return WatchedClock.open(await openDataDir(path, log), clock);
}

test("how far the wall clock was set ahead is known at each later start, and it is not how long that was ago", async (t) => {
  const area = useDataDir(t);
  const first = await openAt(area, 1000 * HOUR_MS, HOUR_MS);
  assert.equal(first.aheadMs, 0);
  await first.note();
  for (const passedMs of [0, HOUR_MS, 500 * HOUR_MS]) {
    const later = await openAt(area, (1000 + 300) * HOUR_MS + passedMs, HOUR_MS + passedMs);
    assert.equal(later.aheadMs, 300 * HOUR_MS);
    await later.note();
  }
});

describe("nothing is ahead", () => {
  test("while nothing was noted, as soon after the node's start", async (t) => {
    const area = useDataDir(t);
    await (await openAt(area, 0, SOON_MS)).note();
    assert.equal((await openAt(area, 9000 * HOUR_MS, SOON_MS + 1)).aheadMs, 0);
  });

  test("when the clock was set back, or went on", async (t) => {
    const area = useDataDir(t);
    await (await openAt(area, 1000 * HOUR_MS, HOUR_MS)).note();
    for (const wallMs of [5, 1001 * HOUR_MS]) assert.equal((await openAt(area, wallMs, 2 * HOUR_MS)).aheadMs, 0);
  });

  test("of what was noted in another run of the node, which is noted anew", async (t) => {
    const area = useDataDir(t);
    await (await openAt(area, 1000 * HOUR_MS, HOUR_MS)).note();
    const noted = JSON.parse(readFileSync(area.layout.clockFile, "utf8"));
    writeFileSync(area.layout.clockFile, JSON.stringify({ ...noted, boot: "another" }));
    const next = await openAt(area, 5000 * HOUR_MS, HOUR_MS);
    assert.equal(next.aheadMs, 0);
    await next.note();
    assert.equal((await openAt(area, 5007 * HOUR_MS, HOUR_MS)).aheadMs, 7 * HOUR_MS);
  });

  test("of what cannot be read, which is reported and noted anew", async (t) => {
    const area = useDataDir(t);
    await (await openAt(area, 1000 * HOUR_MS, HOUR_MS)).note();
    writeFileSync(area.layout.clockFile, "{}");
    const next = await openAt(area, 5000 * HOUR_MS, HOUR_MS);
    assert.equal(next.aheadMs, 0);
    assert.match(String(area.lines.at(-1)?.["msg"]), /corrupt/);
    await next.note();
    assert.equal((await openAt(area, 5007 * HOUR_MS, HOUR_MS)).aheadMs, 7 * HOUR_MS);
  });
});
