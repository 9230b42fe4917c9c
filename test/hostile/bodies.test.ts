import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import { TAR_END, type TarFields, tarEntry, tarOf } from "../fixtures/tar-builder.ts";
import { attributes, REAL } from "../integration/support.ts";
import { artifact, type BuiltLayer, type Fault, fileLayer, layer, sha256Of, TITLE } from "../registry/index.ts";
import { good, HostileBench, type Refusal } from "./hostile-bench.ts";

const MIB = 1024 ** 2;
const zeros = Buffer.alloc(64 * MIB);
const victim = fileLayer("victim", randomBytes(300_000));
const folderTar = tarOf({ name: "folder/", type: "5", mode: 0o755 }, { name: "folder/f", data: randomBytes(100_000) });

/** A folder's layer of these bytes, which are its tar, packed in whatever way. */
function packed(packedTar: Buffer, title = "folder", more: Record<string, string> = {}): BuiltLayer {
  return layer(packedTar, "application/vnd.oci.image.layer.v1.tar+gzip", {
    [TITLE]: title,
    "io.deis.oras.content.unpack": "true",
    ...more,
  });
}

/** A header that says there are so many bytes of zeros, which follow as members or frames: cheap to make. */
function bomb(compress: (bytes: Buffer) => Buffer, entry: TarFields, pieces: number): Buffer {
  const header = tarEntry({ ...entry, size: pieces * zeros.length });
  return Buffer.concat([compress(header), ...Array<Buffer>(pieces).fill(compress(zeros)), compress(TAR_END)]);
}

function* endless(): Generator<Buffer> {
  for (;;) yield zeros.subarray(0, MIB);
}

function* followed(first: Buffer, rest: Iterable<Buffer>): Generator<Buffer> {
  yield first;
  yield* rest;
}

function body(pieces: Iterable<Buffer>, headers: Record<string, string> = {}, thenCut = false): Fault {
  return { kind: "body", pieces, headers, thenCut };
}

const { bytes } = victim;
const length = (count: number) => ({ "content-length": String(count) });
const corrupt = (says: RegExp): Refusal => ({ code: "DATA_LOSS", says });
const unavailable: Refusal = { code: "UNAVAILABLE", says: new RegExp(victim.digest) };

/** What comes in place of one layer's bytes, and the answer: it names the blob. */
const bodies: Record<string, readonly [fault: () => Fault, refusal: Refusal]> = {
  "other bytes of the same length": [
    () => body([randomBytes(bytes.length)], length(bytes.length)),
    corrupt(/another digest/),
  ],
  "nothing, chunked": [() => body([]), corrupt(/shorter than 300000 bytes/)],
  "nothing, as it says": [() => body([], length(0)), corrupt(/0 bytes came where 300000 are due.*too short/)],
  "the first half, chunked": [() => body([bytes.subarray(0, 150_000)]), corrupt(/shorter than 300000 bytes/)],
  "the first half, as it says": [
    () => body([bytes.subarray(0, 150_000)], length(150_000)),
    corrupt(/150000 bytes came where 300000 are due.*too short/),
  ],
  "one byte more, chunked": [() => body([bytes, Buffer.alloc(1)]), corrupt(/longer than 300000 bytes/)],
  "one byte more, as it says": [() => body([bytes, Buffer.alloc(1)], length(300_001)), corrupt(/300001.*too long/)],
  "all of it, and a length of a terabyte": [() => body([bytes], length(1e12), true), corrupt(/too long/)],
  "bytes without end": [() => body(endless()), corrupt(/longer than 300000 bytes/)],
  "bytes without end, in a transfer encoding that nobody knows": [
    () => body(endless(), { connection: "close", "transfer-encoding": "identity" }),
    unavailable,
  ],
  "a gzip bomb by Content-Encoding": [
    () => body([gzipSync(zeros)], { "content-encoding": "gzip" }),
    { code: "DATA_LOSS", says: new RegExp(victim.digest) },
  ],
  "all of it by Content-Encoding, and zeros without end": [
    () => body(followed(gzipSync(bytes), endless()), { "content-encoding": "gzip" }),
    corrupt(/longer than 300000 bytes/),
  ],
  "a length that is no number": [() => body([bytes], { "content-length": "many" }, true), unavailable],
  "a negative length": [() => body([bytes], { "content-length": "-1" }, true), unavailable],
  "the right length, and a cut half-way, each time": [
    () => body([bytes.subarray(0, 10)], length(bytes.length), true),
    unavailable,
  ],
};

const wholeGzip = gzipSync(folderTar);
const wholeZstd = zstdCompressSync(folderTar);

function damaged(whole: Buffer, at: number): Buffer {
  const copy = Buffer.from(whole);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

/** Layers whose digest is right and whose packing is not. */
const packings: Record<string, readonly [layer: BuiltLayer, refusal: Refusal]> = Object.fromEntries(
  (
    [
      ["gzip that is cut off", wholeGzip.subarray(0, 50_000), /cut off/],
      ["gzip without its end", wholeGzip.subarray(0, -8), /cut off/],
      ["gzip with a header only", wholeGzip.subarray(0, 10), /cut off|damaged/],
      ["gzip with three bytes", wholeGzip.subarray(0, 3), /cut off/],
      ["gzip that is damaged in the middle", damaged(wholeGzip, 1_000), /damaged|checksum|cut off/],
      ["gzip with a wrong checksum", damaged(wholeGzip, wholeGzip.length - 8), /gzip checksum does not fit/],
      ["gzip with a wrong length", damaged(wholeGzip, wholeGzip.length - 1), /gzip length does not fit/],
      ["gzip of an unknown kind", damaged(wholeGzip, 2), /gzip header is of an unknown kind/],
      ["gzip whose second member is damaged", Buffer.concat([wholeGzip, damaged(wholeGzip, 20)]), /gzip|damaged/],
      ["zstd that is cut off", wholeZstd.subarray(0, 50_000), /cut off/],
      ["zstd that is damaged", damaged(wholeZstd, 6), /./],
      ["zstd with its first four bytes only", wholeZstd.subarray(0, 4), /cut off/],
      ["raw deflate", deflateRawSync(folderTar), /no tar at all|cut off/],
      ["gzip within gzip", gzipSync(wholeGzip), /no tar at all|cut off/],
    ] as const
  ).map(([name, bytesOf, why]) => {
    const says = new RegExp(`layer "folder".*(?:${why.source})`);
    return [name, [packed(bytesOf), { code: "FAILED_PRECONDITION", says }]];
  }),
);

const overBytes = (says: RegExp): Refusal => ({ code: "FAILED_PRECONDITION", says });
const file = { name: "folder/zeros" };
/** A tar's label: it makes nothing, so all its bytes are beside the files. */
const label = { name: "label", type: "V" };

/** Each unpacks to 1.25 GiB, where 1 GiB is allowed. */
const bombs: Record<string, readonly [layers: () => readonly BuiltLayer[], refusal: Refusal]> = {
  "a gzip bomb in one file": [
    () => [packed(bomb(gzipSync, file, 20))],
    overBytes(
      /layer "folder".* entry "folder\/zeros".*(?:layer "folder"|all tar layers together) over the limit of 1073741824 unpacked bytes/,
    ),
  ],
  "a gzip bomb beside the files": [
    () => [packed(bomb(gzipSync, label, 20))],
    overBytes(/layer "folder".*over the limit of 1073741824 unpacked bytes, most of them beside its files/),
  ],
  "a gzip bomb after the end of the tar": [
    () => [packed(Buffer.concat([gzipSync(folderTar), ...Array<Buffer>(20).fill(gzipSync(zeros))]))],
    overBytes(/layer "folder".*over the limit of 1073741824 unpacked bytes/),
  ],
  "a zstd bomb in one file": [
    () => [packed(bomb(zstdCompressSync, file, 20))],
    overBytes(
      /layer "folder".* entry "folder\/zeros".*(?:layer "folder"|all tar layers together) over the limit of 1073741824 unpacked bytes/,
    ),
  ],
  "a zstd bomb beside the files": [
    () => [packed(bomb(zstdCompressSync, label, 20))],
    overBytes(/layer "folder".*over the limit of 1073741824 unpacked bytes, most of them beside its files/),
  ],
  "a bomb of files in five layers": [
    () => [0, 1, 2, 3, 4].map((i) => packed(bomb(gzipSync, { name: `f${i}/zeros` }, 4), `f${i}`)),
    overBytes(/layer "f\d".* entry "f\d\/zeros".*all tar layers together over the limit of 1073741824 unpacked bytes/),
  ],
  "a bomb beside the files of five layers": [
    () => [0, 1, 2, 3, 4].map((i) => packed(bomb(gzipSync, { ...label, name: `label${i}` }, 4), `f${i}`)),
    overBytes(/layer "f\d".*all tar layers together over the limit of 1073741824 unpacked bytes/),
  ],
};

test("hostile bodies are turned down, with nothing left behind", REAL, async (t) => {
  await using bench = await HostileBench.start(["--max-unpack-ratio=1"]);
  const { registry } = bench;
  const manifest = artifact([good, victim]);
  for (const [name, [fault, refusal]] of Object.entries(bodies)) {
    await t.test(`a layer's body: ${name}`, async () => {
      const reference = await bench.push(manifest);
      registry.fault = ({ path, method }) => (method === "GET" && path.endsWith(victim.digest) ? fault() : undefined);
      const says = new RegExp(`${victim.digest}.*(?:${refusal.says.source})|${refusal.says.source}`);
      await bench.refusesReference(reference, { ...refusal, says });
      registry.fault = undefined;
    });
  }
  for (const [name, [hostile, refusal]] of Object.entries(packings)) {
    await t.test(`a tar's packing: ${name}`, () => bench.refuses(artifact([good, hostile]), refusal));
  }
  for (const [name, [layers, refusal]] of Object.entries(bombs)) {
    await t.test(name, () => bench.refuses(artifact([good, ...layers()]), refusal));
  }
  await t.test("a tar that is another one than the manifest says", () =>
    bench.refuses(
      artifact([packed(wholeGzip, "folder", { "io.deis.oras.content.digest": sha256Of(Buffer.from("another")) })]),
      { code: "DATA_LOSS", says: /layer "folder".*uncompressed, it is not sha256:/ },
    ),
  );
  await t.test("a manifest's body without end", async () => {
    const reference = await bench.push(manifest);
    registry.fault = ({ path }) => (path.includes("/manifests/") ? body(endless()) : undefined);
    await bench.refusesReference(reference, { code: "FAILED_PRECONDITION", says: /more than the 4194304 bytes/ });
    registry.fault = undefined;
  });
  await t.test("a manifest that is cut off by its own length", async () => {
    const reference = await bench.push(manifest);
    registry.fault = ({ path }) => (path.includes("/manifests/") ? body([manifest.bytes], length(100)) : undefined);
    await bench.refusesReference(reference, { code: "FAILED_PRECONDITION", says: /is no JSON/ });
    registry.fault = undefined;
  });
  await t.test("what follows a body of the right length is nobody's answer", async () => {
    const forged = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nevil\n`);
    registry.fault = ({ path }) =>
      path.endsWith(victim.digest) ? body([Buffer.concat([bytes, forged])], length(bytes.length)) : undefined;
    const files = await bench.serves(manifest);
    registry.fault = undefined;
    assert.deepEqual(Object.keys(files), ["good", "victim"]);
    const next = fileLayer("next", "next\n");
    assert.deepEqual(await bench.serves(artifact([next])), { next: "next\n" });
  });
  await t.test("the same artifact is served once its registry gives what it said", async () => {
    const volume = bench.sandbox.kubelet.volume({ attributes: attributes(await bench.push(manifest)) });
    await volume.publish();
    await volume.unpublish();
  });
  await t.test("the driver goes on serving", () => bench.assertServing());
});
