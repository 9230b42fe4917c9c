import assert from "node:assert/strict";
import { test } from "node:test";
import { unchangedRanges } from "./program-pages.ts";

const FILE = "/usr/local/bin/a program";

function mapping(range: string, rights: string, anonymousKb: number, file = FILE): string {
  return `${range} ${rights} 0042e000 fe:00 123      ${file}\nSize:  8 kB\nRss:  4 kB\nAnonymous:  ${anonymousKb} kB\nVmFlags: rd mr\n`;
}

test("only what is the program's, cannot be written and never was", () => {
  const smaps = [
    mapping("00400000-00402000", "r--p", 0),
    mapping("00402000-00404000", "r-xp", 0),
    mapping("00404000-00406000", "r--p", 8),
    mapping("00406000-00408000", "rw-p", 0),
    mapping("00408000-0040a000", "rwxp", 0),
    mapping("7f0000000000-7f0000002000", "r-xp", 0, "/lib/x86_64-linux-gnu/libc.so.6"),
    mapping("7f0000002000-7f0000004000", "r-xp", 0, "/usr"),
    "7f0000004000-7f0000006000 r-xp 00000000 00:00 0 \nSize:  8 kB\nAnonymous:  0 kB\n",
    mapping("ffffffffff600000-ffffffffff601000", "r-xp", 0),
  ].join("");
  assert.deepEqual(unchangedRanges(smaps, FILE), [
    { address: 0x400000n, length: 0x2000n },
    { address: 0x402000n, length: 0x2000n },
    { address: 0xffffffffff600000n, length: 0x1000n },
  ]);
  assert.deepEqual(unchangedRanges("", FILE), []);
});
