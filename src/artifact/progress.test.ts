import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { formatBytes, ProgressMeter } from "./progress.ts";

const GB = 1e9;

function meter() {
  const clock = new ManualClock();
  return { clock, meter: new ProgressMeter(clock) };
}

test("before anything is known", () => {
  assert.equal(meter().meter.describe(), "starting");
});

test("the contract's example", () => {
  const { clock, meter: progress } = meter();
  progress.update({ phase: "fetching", doneBytes: 2.99 * GB, fetchedBytes: 2.99 * GB, totalBytes: 7.1 * GB });
  clock.advance(1000);
  progress.update({ phase: "fetching", doneBytes: 3.2 * GB, fetchedBytes: 3.2 * GB, totalBytes: 7.1 * GB });
  assert.equal(progress.describe(), "3.2 of 7.1 GB (45%), 210 MB/s, about 19 s left");
});

describe("one report", () => {
  const rows = [
    { phase: "fetching", doneBytes: 0, totalBytes: 1234, says: "0.0 of 1.2 kB (0%)" },
    { phase: "fetching", doneBytes: 5, totalBytes: 999, says: "5 of 999 bytes (0%)" },
    { phase: "fetching", doneBytes: 999, totalBytes: 1000, says: "1.0 of 1.0 kB (99%)" },
    { phase: "unpacking", doneBytes: 150e6, totalBytes: 150e6, says: "150 of 150 MB (100%), unpacking" },
    { phase: "assembling", doneBytes: 10, totalBytes: 10, says: "10 of 10 bytes (100%), putting the files in place" },
    { phase: "assembling", doneBytes: 0, totalBytes: 0, says: "putting the files in place" },
  ] as const;
  for (const { says, ...report } of rows) {
    test(says, () => {
      const { meter: progress } = meter();
      progress.update({ ...report, fetchedBytes: report.doneBytes });
      assert.equal(progress.describe(), says);
    });
  }
});

test("the speed is that of the last seconds, and falls while nothing comes", () => {
  const { clock, meter: progress } = meter();
  const at = (doneBytes: number) =>
    progress.update({ phase: "fetching", doneBytes, fetchedBytes: doneBytes, totalBytes: 1000e6 });
  at(0);
  clock.advance(1000);
  at(100e6);
  assert.match(progress.describe(), /100 MB\/s, about 9 s left$/);
  clock.advance(20_000);
  at(110e6);
  clock.advance(1000);
  at(111e6);
  assert.match(progress.describe(), / 1\.0 MB\/s, about 15 min left$/);
  clock.advance(9000);
  assert.match(progress.describe(), / 100 kB\/s, about 3 h left$/);
});

test("a blob that starts over shows the speed at which it comes", () => {
  const { clock, meter: progress } = meter();
  progress.update({ phase: "fetching", doneBytes: 500, fetchedBytes: 500, totalBytes: 1000 });
  clock.advance(1000);
  progress.update({ phase: "fetching", doneBytes: 100, fetchedBytes: 600, totalBytes: 1000 });
  assert.equal(progress.describe(), "0.1 of 1.0 kB (10%), 100 bytes/s, about 9 s left");
});

test("what an earlier pull left is no speed", () => {
  const { clock, meter: progress } = meter();
  progress.update({ phase: "fetching", doneBytes: 0, fetchedBytes: 0, totalBytes: 1000 });
  clock.advance(1000);
  progress.update({ phase: "fetching", doneBytes: 500, fetchedBytes: 0, totalBytes: 1000 });
  assert.equal(progress.describe(), "0.5 of 1.0 kB (50%)");
});

test("sizes", () => {
  const rows: readonly [number, string][] = [
    [0, "0 bytes"],
    [1, "1 byte"],
    [999, "999 bytes"],
    [1000, "1.0 kB"],
    [99_949, "99.9 kB"],
    [999_999, "999 kB"],
    [7.1e9, "7.1 GB"],
    [3e18, "3000 PB"],
  ];
  for (const [bytes, says] of rows) assert.equal(formatBytes(bytes), says);
});
