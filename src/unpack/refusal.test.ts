import assert from "node:assert/strict";
import { test } from "node:test";
import { quoteName, refuseEntry } from "./refusal.ts";

const names: readonly [what: string, name: Buffer, quoted: string][] = [
  ["plain text", Buffer.from("a/b c.txt"), '"a/b c.txt"'],
  ["letters of all kinds", Buffer.from("späße-☃-日本-😀"), '"späße-☃-日本-😀"'],
  ["quotes and backslashes", Buffer.from('a"b\\c'), '"a\\"b\\\\c"'],
  ["control characters", Buffer.from("a\n\0\x1b[31m\x7f"), '"a\\x0a\\x00\\x1b[31m\\x7f"'],
  ["bytes that are no UTF-8", Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80]), '"a\\xff\\xc3(\\xed\\xa0\\x80"'],
  ["a character cut in two", Buffer.from("ab☃").subarray(0, 4), '"ab\\xe2\\x98"'],
  ["direction marks", Buffer.from("a\u202egpj"), '"a\\xe2\\x80\\xaegpj"'],
  ["the replacement character", Buffer.from("\ufffd"), '"\\xef\\xbf\\xbd"'],
  ["a byte order mark", Buffer.from("\ufeffa"), '"\\xef\\xbb\\xbfa"'],
];
for (const [what, name, quoted] of names) {
  test(`quotes ${what}`, () => assert.equal(quoteName(name), quoted));
}

test("a long name is shortened in the middle, and its message stays short", () => {
  const name = Buffer.from(`start-${"x".repeat(100_000)}-end`);
  assert.match(quoteName(name), /^"start-x+…x+-end"$/);
  const escaped = quoteName(Buffer.alloc(5000, 0xff));
  assert.match(escaped, /^"(\\xff){25}…(\\xff){25}"$/);
  const mixed = quoteName(Buffer.from(`${"\n".repeat(49)}☃${"x".repeat(300)}${"\0".repeat(49)}`));
  assert.match(mixed, /^"(\\x0a){25}…(\\x00){25}"$/);
  assert.equal(quoteName(Buffer.from("x".repeat(200))).length, 202);
  assert.ok(refuseEntry(Buffer.alloc(5000, 0xff), `its target ${escaped} is odd`).message.length <= 500);
});
