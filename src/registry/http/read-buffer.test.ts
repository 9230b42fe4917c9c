import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadBuffer } from "./read-buffer.ts";

/** Reads some text as a socket would. */
function read(buffer: ReadBuffer, text: string, isInUse = false): void {
  buffer.filled(buffer.next(isInUse).write(text, "latin1"));
}

const taken = (buffer: ReadBuffer) => buffer.take()?.toString("latin1");

test("short reads are taken together until another one might not fit in", () => {
  const buffer = new ReadBuffer({ sizeBytes: 8, readBytes: 4 });
  read(buffer, "abc");
  assert.equal(buffer.isFull, false);
  read(buffer, "de");
  assert.equal(buffer.isFull, true);
  assert.equal(taken(buffer), "abcde");
  assert.equal(taken(buffer), undefined);
  read(buffer, "fg");
  assert.equal(taken(buffer), "fg");
  read(buffer, "h");
  assert.equal(taken(buffer), "h");
});

test("what is in use stays as it is while more is read", () => {
  const buffer = new ReadBuffer({ sizeBytes: 8, readBytes: 4 });
  read(buffer, "abcde");
  const inUse = buffer.take();
  read(buffer, "fghij", true);
  assert.equal(inUse?.toString("latin1"), "abcde");
  assert.equal(taken(buffer), "fghij");
  assert.equal(buffer.release().length, 2);
});

test("the memory is used again once nothing of it is in use, and other memory is freed", () => {
  const buffer = new ReadBuffer({ sizeBytes: 8, readBytes: 4 });
  read(buffer, "abcde");
  const inUse = buffer.take();
  read(buffer, "fghij", true);
  const later = buffer.take();
  read(buffer, "klmno");
  assert.equal(inUse?.length, 0);
  assert.equal(later?.toString("latin1"), "klmno");
  assert.equal(buffer.release().length, 1);
});

test("a read that may fill the buffer is alone in it", () => {
  const buffer = new ReadBuffer({ sizeBytes: 8 });
  read(buffer, "abc");
  assert.equal(buffer.isFull, true);
  assert.equal(taken(buffer), "abc");
  assert.equal(buffer.next(true).length, 8);
  read(buffer, "defghijk");
  assert.equal(taken(buffer), "defghijk");
});

test("more memory takes the place of what is not in use", () => {
  const buffer = new ReadBuffer({ sizeBytes: 8 });
  read(buffer, "abc");
  const inUse = buffer.take();
  assert.equal(buffer.next(true, 16).length, 8);
  assert.equal(inUse?.toString("latin1"), "abc");
  assert.equal(buffer.next(false, 16).length, 8);
  read(buffer, "defghijk");
  assert.equal(taken(buffer), "defghijk");
  assert.equal(buffer.next(false, 16).length, 16);
  assert.equal(inUse.length, 0);
  assert.equal(buffer.next(false).length, 16);
});

test("nothing is left to take of memory that was given up", () => {
  const buffer = new ReadBuffer({ sizeBytes: 8, readBytes: 4 });
  read(buffer, "abc");
  buffer.release();
  assert.equal(buffer.take(), undefined);
});
