import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { Growth, GrowingFileReader } from "./growing-file.ts";

const READER = new URL("../../test/fixtures/growing-reader.ts", import.meta.url);

/** A file with a reader on another thread. */
function use() {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-growing-"));
  const path = join(folder, "file");
  writeFileSync(path, "");
  const growth = new Growth();
  const started = Promise.withResolvers<void>();
  const outcome = Promise.withResolvers<unknown>();
  const startReader = () => {
    const worker = new Worker(READER, { workerData: { path, shared: growth.shared } });
    worker.on("message", (message) => ("started" in message ? started.resolve() : outcome.resolve(message)));
    worker.on("error", outcome.reject);
    return started.promise;
  };
  const hash = createHash("sha256");
  let length = 0;
  const append = (bytes: Buffer) => {
    appendFileSync(path, bytes);
    hash.update(bytes);
    length += bytes.length;
    growth.advance(length);
  };
  const whole = () => ({ length, hash: hash.digest("hex") });
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return { path, growth, startReader, outcome: outcome.promise, append, whole, [Symbol.dispose]: dispose };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a reader on another thread", () => {
  test("follows the writer to the end", async () => {
    using file = use();
    await file.startReader();
    for (let i = 0; i < 300; i++) {
      file.append(randomBytes(1 + ((i * 7919) % 20_000)));
      if (i % 3 === 0) await turn();
    }
    file.growth.complete();
    assert.deepEqual(await file.outcome, file.whole());
  });

  test("reads what was complete before it began", async () => {
    using file = use();
    file.append(randomBytes(700_000));
    file.growth.complete();
    await file.startReader();
    assert.deepEqual(await file.outcome, file.whole());
  });

  test("reads nothing of an empty file", async () => {
    using file = use();
    await file.startReader();
    file.growth.complete();
    assert.deepEqual(await file.outcome, file.whole());
  });

  test("never reads beyond what it was told", async () => {
    using file = use();
    file.append(Buffer.from("told"));
    appendFileSync(file.path, "not told");
    await file.startReader();
    file.growth.complete();
    assert.deepEqual(await file.outcome, file.whole());
  });

  for (const when of ["before it began", "while it waits", "in the middle"]) {
    test(`gives up a file that was abandoned ${when}`, async () => {
      using file = use();
      if (when === "in the middle") file.append(randomBytes(5_000_000));
      if (when === "before it began") file.growth.abandon();
      await file.startReader();
      if (when === "while it waits") await turn();
      file.growth.abandon();
      assert.deepEqual(await file.outcome, { kind: "cancelled" });
    });
  }

  test("sees a file that got shorter", async () => {
    using file = use();
    file.append(randomBytes(100));
    truncateSync(file.path, 50);
    await file.startReader();
    file.growth.complete();
    assert.deepEqual(await file.outcome, { kind: "internal" });
  });
});

test("a writer that ends twice, or goes on after the end, confuses no reader", async () => {
  for (const endTwice of [true, false]) {
    using file = use();
    file.append(randomBytes(1000));
    file.growth.complete();
    if (endTwice) file.growth.complete();
    else file.growth.advance(5000);
    await file.startReader();
    assert.deepEqual(await file.outcome, file.whole());
  }
  using givenUp = use();
  givenUp.append(randomBytes(1000));
  givenUp.growth.abandon();
  givenUp.growth.complete();
  await givenUp.startReader();
  assert.deepEqual(await givenUp.outcome, { kind: "cancelled" });
  using abandoned = use();
  abandoned.append(randomBytes(1000));
  abandoned.growth.complete();
  for (let i = 0; i < 10; i++) abandoned.growth.abandon();
  await abandoned.startReader();
  assert.deepEqual(await abandoned.outcome, { kind: "cancelled" });
});

test("who works on a part is told when the file is abandoned", async () => {
  using file = use();
  file.append(randomBytes(1000));
  const reader = new GrowingFileReader(file.path, file.growth.shared);
  const parts = reader[Symbol.asyncIterator]();
  assert.equal((await parts.next()).value?.length, 1000);
  reader.throwIfAbandoned();
  file.growth.abandon();
  assert.throws(() => reader.throwIfAbandoned(), { kind: "cancelled" });
  reader.close();
});
