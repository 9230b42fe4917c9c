import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { gzipSync, constants as zlib, zstdCompressSync } from "node:zlib";
import { type CsiError, Sandbox, whyNoFlavour } from "../driver/index.ts";
import { gzippedTarOf } from "../fixtures/many-entries.ts";
import { gnuLong, paxEntry, TAR_END, tarEntry, tarOf } from "../fixtures/tar-builder.ts";
import { attributes, REAL } from "../integration/support.ts";
import {
  artifact,
  type BuiltLayer,
  type BuiltManifest,
  EmbeddedRegistry,
  fileLayer,
  image,
  layer,
  sha256Of,
  TITLE,
} from "../registry/index.ts";
import { MemoryWatch } from "./memory-watch.ts";

// What the driver takes is said of the executable: its heap flags and its one process for all threads.
const skip = REAL.skip || whyNoFlavour("executable");
const LIMIT_MB = 100;
const WINDOW_MB = 135;
const MIB = 1024 ** 2;
const zeros = gzipSync(Buffer.alloc(32 * MIB));
/** 900,000 take some minutes where the machine is busy. */
const entryCount = Number(process.env["ORAS_CSI_TEST_ENTRIES"] ?? 150_000);

let sandbox: Sandbox;
let registry: EmbeddedRegistry;
/** One driver for all cases: what an earlier one left counts. */
let pid: number;
before(async () => {
  if (skip !== false) return;
  registry = await EmbeddedRegistry.start();
  sandbox = await Sandbox.create({ flavour: "executable" });
  // Many files are made: on a disk the test would take long.
  mkdirSync(sandbox.dataDir);
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=4g", "none", sandbox.dataDir]);
  pid = (await sandbox.startDriver()).pid;
});
after(async () => {
  await registry?.close();
  await sandbox?.[Symbol.asyncDispose]();
});

const packed = (bytes: Buffer, title = "t"): BuiltLayer =>
  layer(bytes, "a/tar", { [TITLE]: title, "io.deis.oras.content.unpack": "true" });
const gzipped = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts.map((part) => gzipSync(part)));
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

function bomb(name: string, mebibytes: number, type = "0"): Buffer {
  const header = tarEntry({ name, type, size: mebibytes * MIB }).subarray(0, 512);
  return Buffer.concat([gzipSync(header), ...Array<Buffer>(mebibytes / 32).fill(zeros), gzipSync(TAR_END)]);
}

function raw(text: string, blobs: readonly BuiltLayer[] = []): BuiltManifest {
  const bytes = Buffer.from(text);
  return {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: sha256Of(bytes),
    bytes,
    blobs,
    children: [],
  };
}

/** As many layers as fit into a manifest, all of one blob. */
function manyLayers(): BuiltManifest {
  const one = fileLayer("x", "x");
  const layers: string[] = [];
  for (let bytes = 0; bytes < 4_180_000; bytes += (layers.at(-1)?.length ?? 0) + 1) {
    const annotations = { [TITLE]: layers.length.toString(36) };
    layers.push(JSON.stringify({ digest: one.digest, size: 1, annotations }));
  }
  return raw(`{"schemaVersion":2,"layers":[${layers.slice(0, -1).join(",")}]}`, [one]);
}

function zstdWithLargeWindow(title: string): Buffer {
  const content = Buffer.concat([randomBytes(MIB), Buffer.alloc(160 * MIB)]);
  const tar = tarOf({ name: `${title}/f`, data: content });
  const params = { [zlib.ZSTD_c_windowLog]: 27, [zlib.ZSTD_c_enableLongDistanceMatching]: 1 };
  return zstdCompressSync(tar, { params: { ...params, [zlib.ZSTD_c_contentSizeFlag]: 0 } });
}

interface Case {
  readonly manifest: () => BuiltManifest | Promise<BuiltManifest>;
  /** What is answered: "OK" or the code. */
  readonly answer: string;
  readonly limitMb?: number;
  readonly attributes?: Record<string, string>;
}

const REFUSED = "FAILED_PRECONDITION";
const atOnce = { "options.concurrency": "64" };
const cases: Record<string, Case> = {
  "a gzip bomb in a file": { manifest: () => artifact([packed(bomb("t/f", 1056))]), answer: REFUSED },
  "a gzip bomb beside the files": { manifest: () => artifact([packed(bomb("label", 1056, "V"))]), answer: REFUSED },
  "a gzip bomb spread over 64 layers at once": {
    manifest: () => artifact(times(64, (i) => packed(bomb(`${i}/f`, 32), `${i}`))),
    answer: REFUSED,
    attributes: atOnce,
  },
  "64 layers of bytes that cannot be packed, at once": {
    manifest: () =>
      artifact(times(64, (i) => packed(gzipSync(tarOf({ name: `${i}/f`, data: randomBytes(3 * MIB) })), `${i}`))),
    answer: "OK",
    attributes: atOnce,
  },
  "64 files at once": {
    manifest: () => artifact(times(64, (i) => fileLayer(`${i}`, randomBytes(3 * MIB)))),
    answer: "OK",
    attributes: atOnce,
  },
  "zstd windows of 128 MiB in four layers at once": {
    manifest: () => artifact(times(4, (i) => packed(zstdWithLargeWindow(`z${i}`), `z${i}`))),
    answer: "OK",
    limitMb: LIMIT_MB + WINDOW_MB,
    attributes: atOnce,
  },
  "a manifest of a million objects": {
    manifest: () => raw(`{"schemaVersion":2,"layers":[${"{},".repeat(1_350_000)}{}]}`),
    answer: REFUSED,
  },
  "a manifest of lists in each other": {
    manifest: () => raw(`{"schemaVersion":2,"layers":[],"x":${"[".repeat(2_000_000)}${"]".repeat(2_000_000)}}`),
    answer: REFUSED,
  },
  "a manifest of as many values as are read": {
    manifest: () => raw(`{"schemaVersion":2,"layers":[],"x":[${"{},".repeat(124_990)}{}]}`),
    answer: "OK",
  },
  // 28,000: each takes some hundred bytes on both threads for as long as the pull runs.
  "as many layers as a manifest holds": { manifest: manyLayers, answer: "OK" },
  "a thousand tar layers": {
    manifest: () => artifact(times(1000, (i) => packed(gzipSync(tarOf({ name: `${i}/f`, data: "x" })), `${i}`))),
    answer: "OK",
    attributes: { "options.concurrency": "16" },
  },
  "headers of a mebibyte": {
    manifest: () => {
      const headers = [
        paxEntry({ comment: "c".repeat(1_000_000) }, "g"),
        paxEntry({ path: "p".repeat(1_000_000) }, "g"),
      ];
      headers.push(paxEntry({ comment: "c".repeat(1_000_000) }), gnuLong("L", "n".repeat(1_000_000)));
      const block = gzipped(...headers);
      return artifact([packed(Buffer.concat(Array<Buffer>(300).fill(block)))]);
    },
    answer: REFUSED,
  },
  "20,000 gzip members without content": {
    manifest: () => artifact([packed(Buffer.concat(Array<Buffer>(20_000).fill(gzipSync(""))))]),
    answer: REFUSED,
  },
};

/** Publishes until there is an answer. */
async function answerOf(manifest: BuiltManifest, more: Record<string, string> = {}, tag = "v1"): Promise<string> {
  for (const { digest, bytes } of manifest.blobs) registry.content.putBlob("team/thing", digest, bytes);
  registry.content.putManifest("team/thing", tag, manifest);
  const reference = `${registry.host}/team/thing:${tag}`;
  const volume = sandbox.kubelet.volume({
    attributes: attributes(reference, { "options.pullpolicy": "Always", ...more }),
  });
  for (;;) {
    try {
      await volume.publish();
      await volume.unpublish();
      return "OK";
    } catch (reason) {
      const { code } = reason as CsiError;
      if (code !== "ABORTED") return code;
    }
  }
}

for (const [name, { manifest, answer, limitMb = LIMIT_MB, attributes: more }] of Object.entries(cases)) {
  test(`the driver stays below ${limitMb} MB with ${name}`, { skip }, async (t) => {
    const made = await manifest();
    using watch = new MemoryWatch(pid);
    assert.equal(await answerOf(made, more), answer);
    t.diagnostic(`${watch.startMb.toFixed(0)} -> ${watch.peakMb.toFixed(0)} MB`);
    assert.ok(watch.peakMb < limitMb, `${watch.peakMb} MB`);
  });
}

test(`a tar of ${entryCount} entries is served with 150 bytes for each beyond 100,000`, { skip }, async (t) => {
  const limitMb = LIMIT_MB + (150 * Math.max(0, entryCount - 100_000)) / 1e6;
  const names = times(entryCount, (i) => `t/folder-${Math.floor(i / 1000)}/file-number-${i}`);
  const packedTar = await gzippedTarOf(names, { data: "x" });
  using watch = new MemoryWatch(pid);
  assert.equal(await answerOf(artifact([packed(packedTar)])), "OK");
  t.diagnostic(`${watch.peakMb.toFixed(0)} MB of ${limitMb.toFixed(0)}`);
  assert.ok(watch.peakMb < limitMb, `${watch.peakMb} MB`);
});

test("16 large manifests at once are read one after the other", { skip }, async (t) => {
  const one = fileLayer("x", "x");
  const layers = JSON.stringify([{ digest: one.digest, size: 1, annotations: { [TITLE]: "x" } }]);
  const made = times(16, (i) => {
    const text = `{"schemaVersion":2,"layers":${layers},"x":[${"{},".repeat(100_000)}"${i}"],"y":"`;
    return raw(`${text}${"y".repeat(3_400_000 - text.length)}"}`, [one]);
  });
  for (const round of ["fetched", "from the cache"]) {
    using watch = new MemoryWatch(pid);
    const answers = await Promise.all(made.map((manifest, i) => answerOf(manifest, {}, `large-${i}`)));
    assert.deepEqual(new Set(answers), new Set(["OK"]));
    t.diagnostic(`${round}: ${watch.startMb.toFixed(0)} -> ${watch.peakMb.toFixed(0)} MB`);
    // 79 to 98 MB: one is on its way in the pull worker while the main thread reads another.
    assert.ok(watch.peakMb < LIMIT_MB + 2 * 4, `${round}: ${watch.peakMb} MB`);
  }
});

test(`an image of ${entryCount} entries in three layers is served with 150 bytes for each beyond 100,000`, {
  skip,
}, async (t) => {
  const limitMb = LIMIT_MB + (150 * Math.max(0, entryCount - 100_000)) / 1e6;
  const namesOf = (part: number) =>
    times(entryCount / 3, (i) => `folder-${Math.floor(i / 1000)}/file-${part}-number-${i}`);
  const tars = await Promise.all([0, 1, 2].map((part) => gzippedTarOf(namesOf(part), { data: "x" })));
  using watch = new MemoryWatch(pid);
  assert.equal(await answerOf(image(tars.map((tar) => ({ packed: tar, diffId: "" })))), "OK");
  t.diagnostic(`${watch.peakMb.toFixed(0)} MB of ${limitMb.toFixed(0)}`);
  assert.ok(watch.peakMb < limitMb, `${watch.peakMb} MB`);
});
