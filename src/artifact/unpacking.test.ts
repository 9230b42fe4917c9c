import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DriverError, type WorkerHost } from "../base/index.ts";
import { parseDigest } from "../oci/index.ts";
import { UnpackPlaces } from "./unpack-places.ts";
import { Unpacking } from "./unpacking.ts";
import type { UnpackWorkerCalls } from "./worker-calls.ts";

// As in growing-file.ts.
const OUTCOME = 1;
const ABANDONED = 2n;

/** Places that tell a layer something at the very moment at which they let it in. */
class TellingPlaces extends UnpackPlaces {
  onLetIn: () => void = () => undefined;

  override enter(...asked: Parameters<UnpackPlaces["enter"]>): Promise<void> {
    const entered = super.enter(...asked);
    this.onLetIn();
    return entered;
  }
}

/** A layer whose first bytes came, in a folder of its own; the worker unpacks until it is told to end. */
function use() {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-unpacking-"));
  const file = join(folder, "layer");
  writeFileSync(file, Buffer.alloc(1024));
  const places = new TellingPlaces();
  let unpacked = 0;
  const call = async (_: string, { growth }: { readonly growth: SharedArrayBuffer }) => {
    unpacked++;
    const cells = new BigInt64Array(growth);
    if (Atomics.load(cells, OUTCOME) === ABANDONED) throw new DriverError("cancelled", "given up");
    if (Atomics.load(cells, OUTCOME) === 0n) return await new Promise<never>(() => undefined);
    return { skippedEntries: 0, use: undefined };
  };
  const host = { call } as unknown as WorkerHost<UnpackWorkerCalls>;
  const digest = parseDigest(`sha256:${"0".repeat(64)}`);
  const job = { file } as ConstructorParameters<typeof Unpacking>[0]["job"];
  const unpacking = new Unpacking({
    host,
    places,
    staging: folder,
    digest,
    job,
  });
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return {
    unpacking,
    places,
    begin: () => unpacking.advance(1024),
    count: () => unpacked,
    [Symbol.dispose]: dispose,
  };
}

test("a layer that is given up as it is let in lets go", {
  timeout: 30_000,
}, async () => {
  using layer = use();
  let ending: Promise<void> | undefined;
  layer.places.onLetIn = () => {
    ending ??= layer.unpacking.abandon();
  };
  layer.begin();
  while (ending === undefined) await new Promise((resolve) => setImmediate(resolve));
  await ending;
});

test("a layer that has to make way as it is let in does so, and is unpacked when it is whole", {
  timeout: 30_000,
}, async () => {
  using layer = use();
  layer.places.onLetIn = () => {
    layer.places.onLetIn = () => undefined;
    layer.unpacking.giveWay();
  };
  layer.begin();
  while (layer.count() === 0) await new Promise((resolve) => setImmediate(resolve));
  await layer.unpacking.finish();
  assert.equal(layer.count(), 2);
});
