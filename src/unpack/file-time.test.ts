import assert from "node:assert/strict";
import { statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { fileTime, secondsOf } from "./file-time.ts";

test("a file gets the microsecond that was meant, and what it then has is kept when it is copied", (t) => {
  const file = join(useTempFolder(t), "file");
  writeFileSync(file, "");
  const set = (nanoseconds: bigint) => {
    const time = fileTime(secondsOf(nanoseconds));
    utimesSync(file, time, time);
    return statSync(file, { bigint: true }).mtimeNs;
  };
  for (let i = 0n; i < 3000n; i++) {
    const meant = (i * 1_234_567_890_123_457n) % 4_000_000_000_000_000_000n;
    const first = set(meant);
    assert.equal(first / 1000n, meant / 1000n, `${meant}`);
    assert.equal(set(first) / 1000n, meant / 1000n, `${meant}, copied`);
  }
  for (const exact of [0n, 1_000_000_000n, 1_700_000_000_500_000_000n]) assert.equal(set(exact), exact);
});

test("times before 1970 are whole seconds; what no file system holds is cut", () => {
  assert.deepEqual(fileTime(-5.25), new Date(-6000));
  assert.equal(fileTime(2 ** 50), 2 ** 40);
});
