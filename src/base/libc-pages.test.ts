import assert from "node:assert/strict";
import { readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import * as koffi from "koffi";
import { openLibc } from "./libc.ts";
import { unmapProgramPages } from "./program-pages.ts";

test("a program goes on without its pages, and has fewer of them", async () => {
  const before = residentKb();
  await unmapProgramPages(openLibc(koffi));
  const after = residentKb();
  assert.ok(after < before / 2, `${before} kB before, ${after} kB after`);
  assert.equal(JSON.stringify([..."abc"].map((letter) => letter.toUpperCase())), '["A","B","C"]');
});

/** What is in memory of this program's file. */
function residentKb(): number {
  const program = readlinkSync("/proc/self/exe");
  const mappings = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const own = mappings.filter((each) => each.split("\n")[0]?.endsWith(program));
  return own.reduce((sum, each) => sum + Number(/^Rss: +(\d+) kB$/m.exec(each)?.[1] ?? 0), 0);
}
