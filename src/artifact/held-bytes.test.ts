import assert from "node:assert/strict";
import { test } from "node:test";
import { HeldBytes } from "./held-bytes.ts";

test("bytes that come in order are held, and copied: their chunk is used again", () => {
  const held = new HeldBytes(6);
  const chunk = Buffer.from("abc");
  held.write(chunk, 0);
  chunk.write("def");
  held.write(chunk, 3);
  assert.equal(held.bytes.toString(), "abcdef");
});

test("what is started over is held from its first byte on", () => {
  const held = new HeldBytes(3);
  held.write(Buffer.from("ab"), 0);
  held.restart();
  assert.throws(() => held.bytes, /not whole/);
  held.write(Buffer.from("xyz"), 0);
  assert.equal(held.bytes.toString(), "xyz");
});

test("a gap, or more than there may be, is an error", () => {
  const held = new HeldBytes(3);
  assert.throws(() => held.write(Buffer.from("b"), 1), /gap/);
  assert.throws(() => held.write(Buffer.from("abcd"), 0), RangeError);
  assert.throws(() => held.bytes, /not whole/);
});
