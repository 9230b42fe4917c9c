import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type TarFields, tarOf } from "../../test/fixtures/tar-builder.ts";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { type PullBench, usePulls } from "../../test/helpers/pull-bench.ts";
import {
  artifact,
  type BuiltLayer,
  type Fault,
  fileLayer,
  folderLayer,
  layer,
  type LoggedRequest,
  sha256Of,
  TITLE,
  tarLayer,
} from "../../test/registry/index.ts";
import { DriverError } from "../base/index.ts";
import type { Credential } from "../registry/index.ts";

/** A file and a folder that do not compress, so that a fault finds bytes to spoil. */
const kinds: readonly { kind: string; make: () => Promise<BuiltLayer> }[] = [
  { kind: "file", make: () => Promise.resolve(fileLayer("data", randomBytes(100_000))) },
  { kind: "folder", make: () => folderLayer("data", { x: randomBytes(100_000) }) },
];

/** Faults for the blobs' requests, in order; none afterwards. */
function faults(bench: PullBench, ...inOrder: readonly (Fault | undefined)[]): void {
  const left = [...inOrder];
  bench.registry.fault = ({ path, method }: LoggedRequest) =>
    method === "GET" && path.includes("/blobs/") ? left.shift() : undefined;
}

/** A folder with one file of so many MiB of zeros; 16 MiB at a time, each a member of the gzip. */
function zerosLayer(title: string, mebibytes: number): BuiltLayer {
  const tar = tarOf({ name: `${title}/zeros`, size: mebibytes * 1024 * 1024 });
  const [header, end] = [tar.subarray(0, 512), tar.subarray(512)];
  const zeros = gzipSync(Buffer.alloc(16 * 1024 * 1024));
  const members = [gzipSync(header), ...Array.from({ length: mebibytes / 16 }, () => zeros), gzipSync(end)];
  return layer(Buffer.concat(members), "x/tar", { [TITLE]: title, "io.deis.oras.content.unpack": "true" });
}

async function failsAs(bench: PullBench, pulling: Promise<unknown>, kind: string, says: RegExp): Promise<void> {
  await assert.rejects(pulling, (error) => {
    assert.ok(error instanceof DriverError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, says);
    assert.ok(error.message.includes(bench.registry.host), `no reference in: ${error.message}`);
    return true;
  });
  assert.deepEqual(await bench.stored(), []);
}

for (const { kind, make } of kinds) {
  describe(`a ${kind} with wrong bytes`, () => {
    test("the first time is fetched once more", async () => {
      await using bench = await usePulls();
      const data = await make();
      await bench.push(artifact([data]));
      faults(bench, { kind: "corrupt" });
      const { found } = await bench.pull(artifact([data]));
      assert.equal(bench.registry.log.blobGets().length, 2);
      const content = found.find((one) => one.type === "file")?.content ?? "";
      assert.equal(content.length, 100_000);
      if (kind === "file") assert.equal(sha256Of(Buffer.from(content, "latin1")), data.digest);
    });

    test("twice is corrupt, nothing of it is kept, and the next pull starts over", async () => {
      await using bench = await usePulls();
      const data = await make();
      await bench.push(artifact([data]));
      faults(bench, { kind: "corrupt" }, { kind: "corrupt" });
      await failsAs(bench, bench.pull(artifact([data])), "corrupt", /another digest/);
      assert.equal(bench.registry.log.blobGets().length, 2);
      assert.equal((await bench.pull(artifact([data]))).found.at(-1)?.content.length, 100_000);
    });

    test("that are too few or too many is corrupt", async () => {
      await using bench = await usePulls();
      const data = await make();
      await bench.push(artifact([data]));
      for (const bytes of [data.bytes.subarray(1), Buffer.concat([data.bytes, Buffer.from("x")])]) {
        bench.registry.content.putBlob("team/thing", data.digest, bytes);
        await failsAs(bench, bench.pull(artifact([data])), "corrupt", /too (short|long)/);
      }
    });
  });

  describe(`a ${kind} whose download is cut short`, () => {
    test("by the network goes on", async () => {
      await using bench = await usePulls();
      const data = await make();
      await bench.push(artifact([data]));
      faults(bench, { kind: "cut", afterBytes: 50_000 });
      assert.equal((await bench.pull(artifact([data]))).found.at(-1)?.content.length, 100_000);
      assert.equal(bench.registry.log.blobGets()[1]?.headers["range"], `bytes=50000-${data.bytes.length - 1}`);
    });

    test("by a refusal, goes on with the next credential", async () => {
      await using bench = await usePulls();
      const data = await make();
      await bench.push(artifact([data]));
      const refusal: Fault = { kind: "status", status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
      // With and without the password, for the rest and for all of it.
      faults(bench, { kind: "cut", afterBytes: 50_000 }, refusal, refusal, refusal, refusal);
      const first: Credential = {
        kind: "password",
        username: "u",
        password: "p",
        source: "the pod's secret",
        owner: "pod",
      };
      const credentials = [first, { kind: "anonymous", source: "anonymous" } as const];
      const { found } = await bench.pull(artifact([data]), { credentials });
      assert.equal(found.at(-1)?.content.length, 100_000);
      if (kind === "file") assert.equal(sha256Of(Buffer.from(found.at(-1)?.content ?? "", "latin1")), data.digest);
      const rest = `bytes=50000-${data.bytes.length - 1}`;
      assert.deepEqual(
        bench.registry.log.blobGets().map(({ headers }) => [headers["range"], headers["authorization"] !== undefined]),
        [
          [undefined, false],
          [rest, false],
          [rest, true],
          [undefined, true],
          [undefined, true],
          [rest, false],
        ],
      );
    });

    test("by a cancel after little leaves nothing", async () => {
      await using bench = await usePulls();
      const data = await make();
      await bench.push(artifact([data]));
      faults(bench, { kind: "hold", afterBytes: 50_000, until: new Promise(() => undefined) });
      const caller = new AbortController();
      const reason = new DriverError("cancelled", "nobody wants it");
      const rejected = assert.rejects(bench.pull(artifact([data]), { signal: caller.signal }), reason);
      await bench.registry.log.waitFor((entry) => entry.bytesSent >= 50_000);
      caller.abort(reason);
      await rejected;
      assert.deepEqual(await bench.stored(), []);
    });
  });
}

test("a pull that was cancelled before it began asks for nothing", async () => {
  await using bench = await usePulls();
  const manifest = artifact([fileLayer("a", "1")]);
  await bench.push(manifest);
  const reason = new DriverError("cancelled", "nobody wants it");
  await assert.rejects(bench.pull(manifest, { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(bench.registry.log.entries.length, 0);
});

test("a cancel does not wait until the unpacker has caught up", async () => {
  await using bench = await usePulls();
  const data = zerosLayer("data", 512);
  await bench.push(artifact([data]));
  const caller = new AbortController();
  const onEvent: Parameters<PullBench["pull"]>[1] = {
    signal: caller.signal,
    onEvent: (event) => {
      if ("phase" in event && event.phase === "unpacking") caller.abort(new DriverError("cancelled", "enough"));
    },
  };
  await assert.rejects(bench.pull(artifact([data]), onEvent), { kind: "cancelled", message: "enough" });
  assert.deepEqual(
    (await bench.stored()).filter((path) => !path.startsWith("ingest/")),
    [],
  );
});

test("the first failure stops the others", async () => {
  await using bench = await usePulls();
  const [missing, held] = [fileLayer("a", "1"), fileLayer("b", randomBytes(1000))];
  const manifest = artifact([held, missing]);
  await bench.push(manifest);
  bench.registry.content.deleteBlob("team/thing", missing.digest);
  bench.registry.fault = ({ path }) =>
    path.endsWith(held.digest) ? { kind: "hold", afterBytes: 10, until: new Promise(() => undefined) } : undefined;
  await failsAs(bench, bench.pull(manifest), "not-found", new RegExp(missing.digest));
});

describe("a tar that is refused", () => {
  const rows: readonly { name: string; entries: readonly TarFields[]; kind: string; says: RegExp }[] = [
    {
      name: "leaves its folder",
      entries: [{ name: "../x", data: "1" }],
      kind: "refused",
      says: /layer "data": .*"\.\.\/x"/,
    },
    {
      name: "is not within its title",
      entries: [{ name: "other/x", data: "1" }],
      kind: "refused",
      says: /"data" holds "other".*outside/,
    },
    {
      name: "goes through a symlink",
      entries: [
        { name: "data/l", type: "2", linkName: "/" },
        { name: "data/l/x", data: "1" },
      ],
      kind: "refused",
      says: /layer "data": .*through a symlink/,
    },
  ];
  for (const { name, entries, kind, says } of rows) {
    test(name, async () => {
      await using bench = await usePulls();
      const data = tarLayer("data", tarOf(...entries));
      await bench.push(artifact([data]));
      const pulling = bench.pull(artifact([data]));
      if (name === "is not within its title") {
        // The layer is a good one by itself, under another title: it is kept.
        await assert.rejects(pulling, { kind, message: says });
        assert.equal((await bench.stored()).filter((path) => !path.startsWith("layers/")).length, 0);
      } else await failsAs(bench, pulling, kind, says);
      assert.ok(!existsSync(join(bench.area.dataDir, "tmp/x")));
    });
  }

  test("is no tar at all", async () => {
    await using bench = await usePulls();
    const data = layer(gzipSync(randomBytes(5000)), "x/tar", { [TITLE]: "d", "io.deis.oras.content.unpack": "true" });
    await bench.push(artifact([data]));
    await failsAs(bench, bench.pull(artifact([data])), "refused", /layer "d": cannot unpack/);
  });

  test("is another one than the manifest says", async () => {
    await using bench = await usePulls();
    const good = await folderLayer("data", { x: "1" });
    const annotations = { ...good.annotations, "io.deis.oras.content.digest": sha256Of(Buffer.from("another")) };
    const data = layer(good.bytes, good.mediaType, annotations);
    await bench.push(artifact([data]));
    await failsAs(bench, bench.pull(artifact([data])), "corrupt", /as the manifest says/);
  });

  test("together with others unpacks to too much", async () => {
    await using bench = await usePulls();
    const manifest = artifact([zerosLayer("a", 32), zerosLayer("b", 1008)]);
    await bench.push(manifest);
    await assert.rejects(bench.pull(manifest, { maxUnpackRatio: 1, concurrency: 1 }), {
      kind: "refused",
      message: /all tar layers together/,
    });
    const leftOver = (await bench.stored()).filter((path) => !path.startsWith("layers/"));
    assert.deepEqual(leftOver, []);
  });
});

describe("a full disk", { skip: skipMounts }, () => {
  const SMALL = { tmpfs: "mode=755,size=2m" };
  const rows: readonly { name: string; make: () => Promise<BuiltLayer> }[] = [
    { name: "while a file comes", make: () => Promise.resolve(fileLayer("data", randomBytes(5_000_000))) },
    { name: "while a folder's tar comes", make: () => folderLayer("data", { x: randomBytes(5_000_000) }) },
    { name: "while a tar is unpacked", make: () => folderLayer("data", { x: Buffer.alloc(5_000_000) }) },
  ];
  for (const { name, make } of rows) {
    test(`${name}: no space, nothing left, and the next pull works`, async () => {
      await using disk = await useMountArea(SMALL);
      await using bench = await usePulls({ parent: disk.path });
      const data = await make();
      await bench.push(artifact([data]));
      await failsAs(bench, bench.pull(artifact([data])), "no-space", /disk is full/);
      const small = artifact([fileLayer("small", randomBytes(1_000_000))]);
      await bench.push(small);
      assert.equal((await bench.pull(small)).found.length, 1);
    });
  }

  test("of inodes, while the tree is put together", async () => {
    await using disk = await useMountArea({ tmpfs: "mode=755,nr_inodes=60" });
    await using bench = await usePulls({ parent: disk.path });
    const manifest = artifact(Array.from({ length: 40 }, (_, i) => fileLayer(`folder-${i}/file`, "the same")));
    await bench.push(manifest);
    await assert.rejects(bench.pull(manifest), { kind: "no-space", message: /disk is full/ });
    assert.deepEqual(
      (await bench.stored()).filter((path) => !path.startsWith("blobs/")),
      [],
    );
    assert.equal(statSync(bench.area.dataDir).isDirectory() && readdirSync(join(bench.area.dataDir, "tmp")).length, 0);
  });
});
