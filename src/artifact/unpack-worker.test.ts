import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Worker } from "node:worker_threads";
import { tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea } from "../../test/fixtures/unpacking.ts";
import { startWorker, systemClock, WorkerHost } from "../base/index.ts";
import { Growth } from "./growing-file.ts";
import type { UnpackWorkerCalls } from "./worker-calls.ts";

const limits = { maxBytes: 1e6, maxEntries: 1e3 };

test("after the thread was lost, what is left of its pulls is unavailable, and new pulls are unpacked", async (t) => {
  using area = createUnpackArea();
  const threads: Worker[] = [];
  const start = () => {
    const thread = startWorker("unpack-worker", new URL("./unpack-worker.ts", import.meta.url), undefined);
    threads.push(thread);
    return thread;
  };
  const host = new WorkerHost<UnpackWorkerCalls>({ start, idleMs: 60_000, clock: systemClock });
  t.after(() => host.close());
  const file = join(area.folder, "layer");
  const tar = tarOf({ name: "t/f", data: "x" });
  writeFileSync(file, tar);
  const unpack = (pull: string, name: string, isComplete: boolean) => {
    const growth = new Growth();
    growth.advance(isComplete ? tar.length : 100);
    if (isComplete) growth.complete();
    const folder = join(area.folder, name);
    mkdirSync(folder);
    const job = {
      pull,
      file,
      way: "artifact" as const,
      growth: growth.shared,
      folder,
      indexFile: `${folder}.index`,
      what: "the layer",
      limits,
    };
    return host.call("unpack", { ...job, uncompressedDigest: undefined, isDurable: true });
  };
  const hold = (pull: string) => host.call("hold", { pull, limits });
  const lost = { kind: "unavailable", message: /^a worker thread of the driver was lost and is started anew/ };
  const [held, unpacking] = [hold("one"), unpack("one", "a", false)];
  const both = [held, unpacking].map((call) => assert.rejects(call, lost));
  await threads[0]?.terminate();
  await Promise.all(both);

  await assert.rejects(unpack("one", "b", true), lost);
  const stop = new AbortController();
  const again = host.call("hold", { pull: "two", limits }, { signal: stop.signal });
  const ended = assert.rejects(again, { kind: "cancelled" });
  assert.equal((await unpack("two", "c", true)).skippedEntries, 0);
  stop.abort();
  await ended;
});

test("of a pull's layers the one that began first is unpacked first", async (t) => {
  using area = createUnpackArea();
  const start = () => startWorker("unpack-worker", new URL("./unpack-worker.ts", import.meta.url), undefined);
  const host = new WorkerHost<UnpackWorkerCalls>({ start, idleMs: 60_000, clock: systemClock });
  t.after(() => host.close());
  const tar = tarOf({ name: "t/f", data: Buffer.alloc(8 * 2 ** 20) });
  const most = { maxBytes: 2 ** 30, maxEntries: 1e3 };
  // One for both files: their bytes come at the same moment.
  const growth = new Growth();
  const ended: string[] = [];
  host.call("hold", { pull: "one", limits: most }).catch(() => undefined);
  const unpack = async (name: string, bytes: Buffer) => {
    const [file, folder] = [join(area.folder, name), join(area.folder, `${name}-folder`)];
    writeFileSync(file, bytes);
    mkdirSync(folder);
    const job = {
      pull: "one",
      file,
      way: "artifact",
      growth: growth.shared,
      folder,
      indexFile: `${folder}.index`,
    } as const;
    const how = { what: "the layer", limits: most, uncompressedDigest: undefined, isDurable: true };
    await host.call("unpack", { ...job, ...how }).finally(() => ended.push(name));
  };
  // Its first header is damaged, so that it fails with its first part.
  const unpackings = [unpack("large", tar), unpack("broken", Buffer.alloc(tar.length, "x"))];
  const both = Promise.allSettled(unpackings);
  // This is answered once both have begun.
  const stop = new AbortController();
  const held = host.call("hold", { pull: "two", limits: most }, { signal: stop.signal });
  stop.abort();
  await assert.rejects(held);
  growth.advance(tar.length);
  growth.complete();
  const outcomes = (await both).map(({ status }) => status);
  assert.deepEqual(outcomes, ["fulfilled", "rejected"]);
  assert.deepEqual(ended, ["large", "broken"]);
});
