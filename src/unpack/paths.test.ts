import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanEntryPath, cleanTitle } from "./paths.ts";

const titles: readonly [title: string, clean: string][] = [
  ["a", "a"],
  ["./a", "a"],
  ["a/b/c.txt", "a/b/c.txt"],
  ["a//b/", "a/b"],
  ["a/./b/../c", "a/c"],
  ["a/..", "."],
  [".", "."],
  ["./", "."],
  ["a\\..\\b", "a\\..\\b"],
  ["...", "..."],
  ["..a/.b", "..a/.b"],
  [" spaced name ", " spaced name "],
  ["späße", "späße"],
];
for (const [title, clean] of titles) {
  test(`cleans the title ${JSON.stringify(title)}`, () => assert.equal(cleanTitle(title), clean));
}

const refusedTitles: readonly [title: string, says: RegExp][] = [
  ["", /its title is empty/],
  ["/etc/passwd", /layer "\/etc\/passwd": its title is an absolute path/],
  ["..", /layer "\.\.": its title leads out/],
  ["a/../../b", /leads out/],
  ["a\0b", /layer "a\\x00b": its title has a NUL byte/],
  ["n".repeat(256), /a part of more than 255 bytes/],
  ["d/".repeat(256), /more than 255 parts/],
  [`${"n".repeat(200)}/`.repeat(21), /more than 4095 bytes/],
];
for (const [title, says] of refusedTitles) {
  test(`refuses the title ${JSON.stringify(title.slice(0, 20))}`, () => {
    assert.throws(() => cleanTitle(title), { name: "DriverError", kind: "refused", message: says });
  });
}

test("a clean entry's path says where its parts end", () => {
  const path = cleanEntryPath(Buffer.from("./usr//lib/x"), Buffer.from("entry"));
  assert.equal(path.bytes.toString(), "usr/lib/x");
  assert.deepEqual(path.ends, [3, 7, 9]);
  assert.deepEqual(cleanEntryPath(Buffer.from("./"), Buffer.from("entry")).ends, []);
});

test("the longest and deepest paths allowed are clean", () => {
  const longest = `${`${"p".repeat(255)}/`.repeat(15)}${"q".repeat(255)}`;
  assert.equal(cleanTitle(longest), longest);
  assert.equal(Buffer.byteLength(longest), 4095);
  assert.equal(cleanTitle("d/".repeat(255)).length, 509);
});
