import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { DriverError, type ErrorKind } from "../../src/base/index.ts";
import {
  LayerIndexReader,
  LayerMerge,
  UnpackBudget,
  type UnpackedLayer,
  type UnpackWay,
  writeLayerIndex,
} from "../../src/unpack/index.ts";
import { createUnpackArea, type FoundEntry, listTree, rowsOf, unpackBytes } from "../fixtures/unpacking.ts";
import { runFuzz } from "./fuzz-run.ts";
import { randomTar } from "./random-tar.ts";

const rightKinds: ReadonlySet<ErrorKind> = new Set(["refused", "corrupt", "cancelled", "no-space"]);
const partSizes = [1, 7, 100, 511, 512, 513, 1024, 5000] as const;
const MAX_MESSAGE_CHARACTERS = 1000;

test("no mutated tar gets out of its folder, hangs, or fails in a way that is not foreseen", async (t) => {
  using area = createUnpackArea();
  const canary = join(area.folder, "canary");
  mkdirSync(join(canary, "inner"), { recursive: true });
  writeFileSync(join(canary, "file"), "untouched");
  symlinkSync("file", join(canary, "link"));
  chmodSync(canary, 0o711);
  const outside = ["../canary", "../canary/file", "../canary/inner", "..", "../evil", "a/../../canary/new", "/"];
  outside.push(canary, join(canary, "file"), join(canary, "new"), area.root, `${area.root}/../canary/link`);
  const before = listTree(canary);
  await runFuzz(t, {
    iterations: 2000,
    tryOne: async (prng) => {
      const { bytes, packing } = randomTar(outside, prng);
      const way = prng.oneIn(2) ? "image" : "artifact";
      const outcome = await unpackAnew(bytes, join(area.folder, "root"), way, 64 * 1024);
      // How the bytes are cut into parts makes no difference; zlib's errors may come before what it did unpack.
      if (packing === "none" && prng.oneIn(4)) {
        const inParts = await unpackAnew(bytes, join(area.folder, "root"), way, prng.pick(partSizes));
        assert.deepEqual(inParts, outcome, "it depends on how the tar is cut into parts");
      }
      assert.deepEqual(readdirSync(area.folder).sort(), ["canary", "root"]);
      assert.deepEqual(listTree(canary), before, "something outside of the folder is not as it was");
      return outcome.kind;
    },
  });
});

/** What came of one tar. */
interface Outcome {
  readonly kind: ErrorKind | "unpacked";
  readonly message: string;
  /** What is in the folder, if it was unpacked. */
  readonly found: readonly FoundEntry[];
}

async function unpackAnew(bytes: Buffer, root: string, way: UnpackWay, partBytes: number): Promise<Outcome> {
  rmSync(root, { recursive: true });
  mkdirSync(root);
  const budgets = [new UnpackBudget({ maxBytes: 4 * 1024 * 1024, maxEntries: 1000 }, "the layer")];
  let unpacked: UnpackedLayer;
  try {
    unpacked = await unpackBytes(bytes, root, { way, budgets, partBytes });
  } catch (error) {
    if (!(error instanceof DriverError) || !rightKinds.has(error.kind)) throw error;
    assert.ok(error.message.length <= MAX_MESSAGE_CHARACTERS, `the message has ${error.message.length} characters`);
    return { kind: error.kind, message: error.message, found: [] };
  }
  const found = listTree(root);
  const rows = indexed(unpacked.index);
  const described = found.map((entry, i) => describe(entry, rows[i]?.contentHash !== undefined));
  assert.deepEqual(rows, described, "the index does not say what is on disk");
  for (const { path, type, mode } of found) {
    assert.notEqual(type, "other", path);
    const isRight = way === "image" ? (mode & 0o6000) === 0 : (mode & 0o7444) === 0o444;
    if (type !== "symlink") assert.ok(isRight, `${path} has mode ${mode.toString(8)}`);
  }
  if (way === "image") mergeWithItself(unpacked);
  return { kind: "unpacked", message: "", found: found.map((entry) => withoutTimeOfNow(entry)) };
}

/** What the index says of each path below the root, as `described` says it. */
function indexed(index: UnpackedLayer["index"]) {
  return rowsOf(index)
    .filter(({ path }) => path.length > 0)
    .map((row) => ({ ...row, path: row.path.toString("latin1"), contentHash: row.contentHash?.toString("hex") }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path, type, mode, contentHash }) => ({ path, type, mode, contentHash }));
}

/** A sparse file has no hash in the index. */
function describe({ path, type, mode, content }: FoundEntry, hasHash: boolean) {
  const contentHash = type === "file" && hasHash ? hash("sha256", Buffer.from(content, "latin1")) : undefined;
  return { path, type, mode, contentHash };
}

/** Puts a layer on itself: what comes of it has names of a tree, or there is a reason why nothing does. */
function mergeWithItself({ index }: UnpackedLayer): void {
  using area = createUnpackArea();
  const path = join(area.folder, "index");
  writeLayerIndex(index, path);
  const merge = new LayerMerge();
  try {
    for (let i = 0; i < 2; i++) {
      using reader = new LayerIndexReader(path);
      merge.add(reader);
    }
    const folders = new Set<string>();
    for (const entry of merge.entries()) {
      const text = entry.path.toString("latin1");
      assert.ok(text === "" || folders.has(dirname(text)), `${text} is in no folder`);
      assert.ok(!basename(text).startsWith(".wh."), text);
      if (entry.type === "folder") folders.add(text === "" ? "." : text);
    }
  } catch (error) {
    if (!(error instanceof DriverError) || error.kind !== "refused") throw error;
  } finally {
    merge.free();
  }
}

/** Folders that the tar has no entry for have the time at which they were made. */
function withoutTimeOfNow(entry: FoundEntry): FoundEntry {
  return entry.type === "folder" || entry.type === "symlink" ? { ...entry, mtime: 0 } : entry;
}
