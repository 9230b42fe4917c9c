import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { crc32, gzipSync, constants as zlib, zstdCompressSync } from "node:zlib";
import { inParts } from "../../test/fixtures/unpacking.ts";
import { ByteSource } from "./byte-source.ts";
import { decompress, packingOf } from "./decompress.ts";

// Half of it cannot be made smaller, so that parts of the input end everywhere.
const content = Buffer.concat([randomBytes(700_000), Buffer.alloc(700_000, "content ")]);
const more = Buffer.from("and more");
const gzip = gzipSync(content);
const zstd = zstdCompressSync(content);
const skippable = Buffer.from("572a4d1804000000deadbeef", "hex");
/** Around the size of a gzip member that is unpacked in one go. */
const sizes = [0, 1, 1023, 1024, 1025, 65_535, 65_536, 65_537, 0, 200_000, 5];

async function unpack(packed: Buffer, partBytes: number): Promise<Buffer> {
  const source = new ByteSource(inParts(packed, partBytes));
  const parts: Buffer[] = [];
  for await (const part of decompress(source, await packingOf(source))) parts.push(Buffer.from(part));
  assert.equal(await source.next(), undefined, "the source is read to its end");
  return Buffer.concat(parts);
}

const readable: readonly { readonly name: string; readonly packed: Buffer; readonly content: Buffer }[] = [
  { name: "no packing", packed: content, content },
  { name: "nothing", packed: Buffer.alloc(0), content: Buffer.alloc(0) },
  { name: "less than a magic number", packed: Buffer.from([0x1f]), content: Buffer.from([0x1f]) },
  { name: "gzip", packed: gzip, content },
  { name: "gzip of nothing", packed: gzipSync(""), content: Buffer.alloc(0) },
  { name: "gzip members", packed: Buffer.concat([gzip, gzipSync(""), gzipSync(more)]), content: both() },
  { name: "many small gzip members", packed: manyMembers(), content: Buffer.concat(Array(3000).fill(more)) },
  { name: "gzip members of all sizes", packed: membersOfAllSizes(), content: allSizes() },
  { name: "gzip, then zeros", packed: Buffer.concat([gzip, Buffer.alloc(3000)]), content },
  { name: "gzip, then garbage", packed: Buffer.concat([gzip, Buffer.from("garbage")]), content },
  { name: "gzip, then one byte of a magic number", packed: Buffer.concat([gzip, Buffer.from([0x1f])]), content },
  { name: "gzip with all header fields", packed: withHeaderFields(gzip), content },
  { name: "stored gzip", packed: gzipSync(content, { level: 0 }), content },
  { name: "zstd", packed: zstd, content },
  { name: "zstd frames", packed: Buffer.concat([zstd, zstdCompressSync(more)]), content: both() },
  { name: "zstd, skippable frames", packed: Buffer.concat([skippable, zstd, skippable]), content },
  { name: "zstd, then garbage", packed: Buffer.concat([zstd, Buffer.from("garbage")]), content },
  { name: "zstd with a window of 128 MiB", packed: zstdWithWindow(27), content },
];
for (const row of readable) {
  test(`unpacks ${row.name}`, async () => {
    for (const partBytes of [row.packed.length || 1, 65_536, 997]) {
      const unpacked = await unpack(row.packed, partBytes);
      assert.ok(unpacked.equals(row.content), `in parts of ${partBytes}: ${unpacked.length} bytes`);
    }
  });
}

test("finds the end of gzip data wherever the parts end", async () => {
  const packed = Buffer.concat([gzipSync(more), gzipSync(more), Buffer.from("garbage")]);
  for (let partBytes = 1; partBytes <= packed.length; partBytes++) {
    assert.equal((await unpack(packed, partBytes)).toString(), `${more}${more}`);
  }
});

const broken: readonly { readonly name: string; readonly packed: Buffer; readonly says: RegExp }[] = [
  { name: "gzip with a wrong checksum", packed: changed(gzip, -8), says: /gzip checksum does not fit/ },
  { name: "gzip with a wrong length", packed: changed(gzip, -4), says: /gzip length does not fit/ },
  { name: "gzip that is damaged in the middle", packed: changed(gzip, -200), says: /damaged|does not fit/ },
  { name: "gzip of an unknown method", packed: changed(gzip, 2), says: /gzip header is of an unknown kind/ },
  { name: "gzip with reserved flags", packed: changed(gzip, 3, 0x80), says: /gzip header is of an unknown kind/ },
  { name: "a second member that is cut off", packed: Buffer.concat([gzip, gzip.subarray(0, 500)]), says: /cut off/ },
  {
    name: "a second member of an unknown method",
    packed: Buffer.concat([gzip, changed(gzip, 2)]),
    says: /unknown kind/,
  },
  {
    name: "a small member with a wrong checksum",
    packed: Buffer.concat([gzipSync(more), gzipSync(more), changed(gzipSync(more), -8)]),
    says: /gzip checksum does not fit/,
  },
  {
    name: "a small member that is damaged",
    packed: Buffer.concat([gzipSync(""), changed(gzipSync(more), 10, 0xff)]),
    says: /damaged|does not fit/,
  },
  { name: "a gzip name without end", packed: gzipNameWithoutEnd(), says: /text in its gzip header does not end/ },
  { name: "damaged zstd", packed: changed(zstd, zstd.length - 40), says: /damaged or cut off/ },
  { name: "zstd with a window of 256 MiB", packed: zstdWithWindow(28), says: /window of more than 128 MiB/ },
];
for (const row of broken) {
  test(`refuses ${row.name}`, async () => {
    await assert.rejects(unpack(row.packed, 65_536), { kind: "refused", message: row.says });
  });
}

for (const [name, packed] of [["gzip", gzip] as const, ["zstd", zstd] as const]) {
  test(`refuses ${name} that is cut off`, async () => {
    for (const length of [4, 5, 9, 10, 11, 100, packed.length >> 1, packed.length - 9, packed.length - 1]) {
      for (const partBytes of [length, 1000]) {
        const unpacking = unpack(packed.subarray(0, length), partBytes);
        await assert.rejects(unpacking, { kind: "refused", message: /cut off/ }, `at ${length}`);
      }
    }
  });
}

test("what the source throws is thrown on", async () => {
  const failure = new Error("the download failed");
  async function* failing(): AsyncGenerator<Buffer> {
    yield gzip.subarray(0, 1000);
    throw failure;
  }
  const source = new ByteSource(failing());
  await assert.rejects(Array.fromAsync(decompress(source, "gzip")), (error) => error === failure);
});

test("who stops reading does not wait for a source that has nothing yet", async () => {
  async function* stuck(): AsyncGenerator<Buffer> {
    yield gzip.subarray(0, 600_000);
    await new Promise(() => undefined);
  }
  const source = new ByteSource(stuck());
  for await (const part of decompress(source, "gzip")) {
    assert.ok(part.length > 0);
    break;
  }
  source.close();
});

function manyMembers(): Buffer {
  return Buffer.concat(Array<Buffer>(3000).fill(gzipSync(more)));
}

function allSizes(): Buffer {
  return Buffer.concat(sizes.flatMap((size) => [content.subarray(0, size), Buffer.alloc(size)]));
}

function membersOfAllSizes(): Buffer {
  return Buffer.concat(sizes.flatMap((size) => [gzipSync(content.subarray(0, size)), gzipSync(Buffer.alloc(size))]));
}

function both(): Buffer {
  return Buffer.concat([content, more]);
}

function changed(packed: Buffer, at: number, bits = 0x11): Buffer {
  const copy = Buffer.from(packed);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ bits;
  return copy;
}

function withHeaderFields(packed: Buffer): Buffer {
  const header = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 0x1f, 0, 0, 0, 0, 0, 3]),
    Buffer.from([3, 0, 1, 2, 3]),
    Buffer.from("name\0comment\0"),
  ]);
  const headerCrc = Buffer.alloc(2);
  headerCrc.writeUInt16LE(crc32(header) & 0xffff);
  return Buffer.concat([header, headerCrc, packed.subarray(10)]);
}

function gzipNameWithoutEnd(): Buffer {
  return Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]), Buffer.alloc(100_000, "n")]);
}

function zstdWithWindow(log: number): Buffer {
  const packed = zstdCompressSync(content, {
    params: { [zlib.ZSTD_c_windowLog]: 20, [zlib.ZSTD_c_contentSizeFlag]: 0 },
  });
  assert.equal((packed[4] ?? 0) & 0x20, 0, "the frame must say its window");
  packed[5] = (log - 10) << 3;
  return packed;
}
