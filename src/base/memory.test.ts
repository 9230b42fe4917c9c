import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { createCollector, createMemory } from "./memory.ts";

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

test("garbage is left alone until there is much of it, in the heap or in buffers", async () => {
  const { collect, collectIfGrown } = createCollector();
  // Its target lives until the turn ends that made the reference.
  const referenceTo = async (make: () => object) => {
    collect();
    const reference = new WeakRef(make());
    await new Promise((resolve) => setImmediate(resolve));
    return reference;
  };
  const little = await referenceTo(() => ({}));
  collectIfGrown();
  assert.notEqual(little.deref(), undefined);
  const makers = [
    () => Array.from({ length: 400_000 }, (_, i) => ({ number: i })),
    () => Buffer.alloc(16 * 1024 * 1024),
  ];
  for (const make of makers) {
    const much = await referenceTo(make);
    collectIfGrown();
    assert.equal(much.deref(), undefined);
  }
});

test("threads that begin at once all find the collection", async () => {
  const source = new URL("./memory.ts", import.meta.url).href;
  const code = `import(${JSON.stringify(source)}).then(({ createCollector }) => {
    for (let i = 0; i < 100; i++) createCollector();
  })`;
  const endOf = (worker: Worker) =>
    new Promise((resolve, reject) => worker.once("error", reject).once("exit", resolve));
  const ends = await Promise.all(Array.from({ length: 4 }, () => endOf(new Worker(code, { eval: true }))));
  assert.deepEqual(ends, [0, 0, 0, 0]);
});
