import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemory } from "./memory.ts";

test("garbage is collected when asked for, and memory given back", async () => {
  let trims = 0;
  const memory = createMemory({ trimMemory: async () => void trims++ });
  const makeGarbage = () => void Array.from({ length: 400_000 }, (_, i) => ({ number: i, text: String(i) }));
  memory.collect();
  const before = process.memoryUsage().heapUsed;
  makeGarbage();
  memory.collect();
  const left = process.memoryUsage().heapUsed - before;
  assert.ok(left < 4_000_000, `${left} bytes are left`);
  await memory.trim();
  assert.equal(trims, 1);
  assert.equal("gc" in globalThis, false);
});
