import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type PullBench, type PullOptions, usePulls } from "../../test/helpers/pull-bench.ts";
import { artifact, type BuiltLayer, fileLayer, folderLayer, sha256Of } from "../../test/registry/index.ts";
import { DriverError } from "../base/index.ts";
import { createLayout } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import type { PullProgress } from "./worker-calls.ts";

const SIZE = 400_000;
const HALF = 200_000;
const content = randomBytes(SIZE);

const kinds: readonly { kind: string; make: () => Promise<BuiltLayer> }[] = [
  { kind: "file", make: () => Promise.resolve(fileLayer("data", content)) },
  { kind: "folder", make: () => folderLayer("data", { x: content }) },
];

const ingestOf = (
  { area, registry }: PullBench,
  { digest }: BuiltLayer,
  { enforceNamespaces = true }: PullOptions = {},
) =>
  createLayout(area.dataDir).ingestFile(
    digest as Digest,
    enforceNamespaces ? `http ${registry.host}/team/thing` : `http ${registry.host}`,
  );

/** A pull that is cancelled when half of its one blob is there. */
async function pullHalf(bench: PullBench, layer: BuiltLayer, more: PullOptions = {}): Promise<void> {
  await bench.push(artifact([layer]));
  bench.registry.fault = () => ({ kind: "hold", afterBytes: HALF, until: new Promise(() => undefined) });
  const caller = new AbortController();
  const pull = bench.pull(artifact([layer]), { signal: caller.signal, ...more });
  const cancelled = assert.rejects(pull, { kind: "cancelled" });
  await bench.registry.log.waitFor((entry) => entry.bytesSent === HALF);
  // What was sent has to arrive, too.
  const path = ingestOf(bench, layer, more);
  while ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < HALF)
    await new Promise((resolve) => setImmediate(resolve));
  caller.abort(new DriverError("cancelled", "nobody wants it"));
  await cancelled;
  bench.registry.fault = undefined;
  bench.registry.log.clear();
  bench.events.length = 0;
}

const asked = (bench: PullBench) => bench.registry.log.blobGets().map(({ headers }) => headers["range"]);
const sentBytes = (bench: PullBench) =>
  bench.registry.log.blobGets().reduce((sum, { bytesSent }) => sum + bytesSent, 0);

/** The one file of the artifact is right, and nothing of the way there is left. */
async function pullsRight(bench: PullBench, layer: BuiltLayer, more: Parameters<PullBench["pull"]>[1] = {}) {
  const { found } = await bench.pull(artifact([layer]), more);
  assert.equal(sha256Of(Buffer.from(found.at(-1)?.content ?? "", "latin1")), sha256Of(content));
  assert.deepEqual(
    (await bench.stored()).filter((path) => /^(ingest|tmp)/.test(path)),
    [],
  );
  return bench.events.filter((event): event is PullProgress => "phase" in event);
}

for (const { kind, make } of kinds) {
  describe(`half of a ${kind}`, () => {
    test("is gone on with by the next pull, and counted so", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data);
      const { form } = JSON.parse(readFileSync(`${ingestOf(bench, data)}.parts`, "utf8"));
      assert.equal(form, kind === "file" ? "blob" : "artifact", "a collection asks for it");
      const reports = await pullsRight(bench, data);
      assert.deepEqual(asked(bench), [`bytes=${HALF}-${data.bytes.length - 1}`]);
      assert.equal(sentBytes(bench), data.bytes.length - HALF);
      const last = reports.at(-1);
      assert.deepEqual([last?.doneBytes, last?.totalBytes], [data.bytes.length, data.bytes.length]);
      assert.deepEqual([last?.fetchedBytes, last?.resumedBytes], [data.bytes.length - HALF, HALF]);
    });

    test("is begun anew where the registry knows no ranges", async () => {
      await using bench = await usePulls({ acceptRanges: false });
      const data = await make();
      await pullHalf(bench, data);
      await pullsRight(bench, data);
      assert.equal(bench.registry.log.blobGets().length, 1);
      assert.equal(sentBytes(bench), data.bytes.length);
    });

    test("that the disk changed is fetched once more from the start before anybody is blamed", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data);
      const path = ingestOf(bench, data);
      const bytes = readFileSync(path);
      bytes[1000] = (bytes[1000] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      await pullsRight(bench, data);
      assert.deepEqual(asked(bench), [`bytes=${HALF}-${data.bytes.length - 1}`, undefined]);
    });

    test("whose rest is another blob's, however it is asked for, is thrown away", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data);
      bench.registry.content.putBlob("team/thing", data.digest, randomBytes(data.bytes.length));
      await assert.rejects(bench.pull(artifact([data])), { kind: "corrupt" });
      assert.deepEqual(asked(bench), [`bytes=${HALF}-${data.bytes.length - 1}`, undefined]);
      assert.deepEqual(await bench.stored(), []);
    });

    test("of another repository proves nothing", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data);
      bench.registry.content.putBlob("team/other", data.digest, data.bytes);
      const repository = { registry: bench.registry.host, repository: "team/other", transport: "http" } as const;
      await bench.pull(artifact([data]), { repository });
      assert.deepEqual(asked(bench), [undefined]);
      assert.equal(statSync(ingestOf(bench, data)).size, HALF, "it stays the first one's");
    });

    test("of another repository of the registry serves where nobody asks for that", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data, { enforceNamespaces: false });
      bench.registry.content.putBlob("team/other", data.digest, data.bytes);
      const repository = { registry: bench.registry.host, repository: "team/other", transport: "http" } as const;
      await pullsRight(bench, data, { repository, enforceNamespaces: false });
      assert.equal(sentBytes(bench), data.bytes.length - HALF);
    });

    test("stays when the registry is gone, and is gone on with when it is back", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data);
      const refused = { kind: "status", status: 401, headers: { "www-authenticate": 'Basic realm="x"' } } as const;
      bench.registry.fault = () => refused;
      await assert.rejects(bench.pull(artifact([data])), { kind: "unauthenticated" });
      bench.registry.fault = undefined;
      bench.registry.log.clear();
      await pullsRight(bench, data);
      assert.equal(sentBytes(bench), data.bytes.length - HALF);
    });

    test("that is all of it needs no registry", async () => {
      await using bench = await usePulls();
      const data = await make();
      await pullHalf(bench, data);
      writeFileSync(ingestOf(bench, data), data.bytes);
      await pullsRight(bench, data);
      assert.deepEqual(asked(bench), []);
    });
  });
}
