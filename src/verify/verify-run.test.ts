import assert from "node:assert/strict";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import type { TreeId } from "../cache/index.ts";
import { digestOf } from "../oci/index.ts";
import type { VerifyEvent } from "./verify-calls.ts";
import { VerifyRun } from "./verify-run.ts";

test("a tree that the disk fails to tell of is told, and the others are read all the same", async (t) => {
  await using area = await useCache();
  const { layout } = area.cache;
  const trees = ["a", "b"].map((digit) => {
    const id = digit.repeat(64) as TreeId;
    fs.mkdirSync(join(layout.treeFolder(id), "folder"), { recursive: true });
    return { id, inodes: 2, manifest: digestOf(Buffer.alloc(0)), layers: [], isMarked: false };
  });
  const [first] = trees;
  assert.ok(first !== undefined);
  const bad = join(layout.treeFolder(first.id), "folder");
  const { lstatSync } = fs;
  t.mock.method(fs, "lstatSync", (path: fs.PathLike, options: fs.StatSyncOptions) => {
    if (path.toString() === bad) throw Object.assign(new Error("it fails"), { code: "EIO" });
    return lstatSync(path, options);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const events: VerifyEvent[] = [];
  const job = { dataDir: layout.dataDir, trees, repairs: false };
  const context = { signal: new AbortController().signal, emit: (event: VerifyEvent) => events.push(event) };
  const counts = await new VerifyRun(job, { ...context, ask: () => Promise.resolve(undefined) }).run();
  assert.deepEqual(events, [{ fault: { kind: "tree", id: first.id, says: "cannot be read (EIO)" } }]);
  assert.equal(counts.trees, 2);
});
