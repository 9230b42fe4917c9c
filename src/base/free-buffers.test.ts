import assert from "node:assert/strict";
import { test } from "node:test";
import { freeBuffers } from "./free-buffers.ts";

test("memory is free at once", () => {
  const before = process.memoryUsage().arrayBuffers;
  const views = Array.from({ length: 10 }, () => Buffer.alloc(1024 * 1024));
  const part = new Uint16Array(new ArrayBuffer(1024 * 1024), 1024, 8);
  freeBuffers([...views, part]);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
  assert.deepEqual([views[0]?.length, part.length], [0, 0]);
});

test("what threads share is not ours to free", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(16));
  freeBuffers([shared]);
  assert.equal(shared.length, 16);
});

test("memory that is free is not freed again", () => {
  const view = new Uint8Array(16);
  freeBuffers([view]);
  freeBuffers([view]);
  assert.equal(view.length, 0);
});
