import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync, constants as zlib, zstdCompressSync } from "node:zlib";
import { gnuLong, type TarFields, tarEntry, tarOf } from "../fixtures/tar-builder.ts";
import { REAL } from "../integration/support.ts";
import { artifact, type BuiltLayer, fileLayer, layer, TITLE, tarLayer } from "../registry/index.ts";
import { HostileBench } from "./hostile-bench.ts";

// What looks hostile and is not: it has to be served as it is.

let bench: HostileBench;
before(async () => {
  if (REAL.skip === false) bench = await HostileBench.start();
});
after(() => bench?.[Symbol.asyncDispose]());

const part = "p".repeat(255);
const folder = (name: string): TarFields => ({ name, type: "5", mode: 0o755 });
const file = (name: string, more: Partial<TarFields> = {}): TarFields => ({ name, data: "x", ...more });
const symlink = (name: string, linkName: string): TarFields => ({ name, type: "2", linkName });

test("odd titles that are names all the same", REAL, async () => {
  const titles = ["-rf", " ", "a b", "*", "C:\\x", "$(id)", "new\nline", "\u202egnp", "...", "..a/b..", "~"];
  const twins = ["\u00e9", "e\u0301"];
  const layers = [...titles, ...twins, "cleaned//./x/../y/"].map((title) => fileLayer(title, title));
  const expected = Object.fromEntries([...titles, ...twins].map((title) => [title, title]));
  assert.deepEqual(await bench.serves(artifact(layers)), { ...expected, "cleaned/y": "cleaned//./x/../y/" });
});

test("the deepest and the longest title and tar entry", REAL, async () => {
  const deep = `${"d/".repeat(254)}f`;
  // As long as a test can read it without a detour: with the volume's own path it is all that a call takes.
  const long = `${`${part}/`.repeat(14)}${"q".repeat(255)}`;
  const tar = tarOf(tarEntry(folder("t")), gnuLong("L", `t/${"d/".repeat(253)}f`), tarEntry(file("t/f")));
  await bench.serves(
    artifact([fileLayer(deep, "deep"), fileLayer(long, "long"), tarLayer("t", tar)]),
    async (volume) => {
      assert.deepEqual(readdirSync(volume).sort(), ["d", part, "t"]);
      assert.equal(readFileSync(join(volume, deep), "utf8"), "deep");
      assert.equal(readFileSync(join(volume, `t/${"d/".repeat(253)}f`), "utf8"), "x");
    },
  );
});

test("links are kept as they are and never followed; devices are left out; nothing is setuid", REAL, async () => {
  const tar = tarOf(
    folder("t"),
    file("t/f", { mode: 0o6755 }),
    { name: "t/h", type: "1", linkName: "./t/f" },
    symlink("t/absolute", bench.canary),
    symlink("t/climbs", "../../../../../../etc"),
    symlink("t/itself", "itself"),
    ...["3", "4", "6"].map((type) => ({ name: `t/special-${type}`, type })),
  );
  await bench.serves(artifact([tarLayer("t", tar)]), async (volume) => {
    assert.deepEqual(readdirSync(join(volume, "t")).sort(), ["absolute", "climbs", "f", "h", "itself"]);
    assert.equal(readlinkSync(join(volume, "t/absolute")), bench.canary);
    assert.equal(readlinkSync(join(volume, "t/climbs")), "../../../../../../etc");
    assert.equal(lstatSync(join(volume, "t/f")).mode & 0o7777, 0o755);
    assert.equal(lstatSync(join(volume, "t/f")).ino, lstatSync(join(volume, "t/h")).ino);
  });
});

test(".. takes back the part before it, whatever that is: nothing is looked up", REAL, async () => {
  const tar = tarOf(symlink("t/out", `${bench.canary}/inside`), file("t/out/../file"));
  assert.deepEqual(await bench.serves(artifact([tarLayer("t", tar)])), { "t/file": "x" });
});

test("an empty folder of one layer and another one's file in it, whatever their order", REAL, async () => {
  const empty = tarLayer("t", tarOf(folder("t/d")));
  const inside = fileLayer("t/d/f", "x");
  for (const layers of [
    [empty, inside],
    [inside, empty],
  ]) {
    assert.deepEqual(await bench.serves(artifact(layers)), { "t/d/f": "x" });
  }
});

test("a tar of nothing but its end", REAL, async () => {
  assert.deepEqual(await bench.serves(artifact([tarLayer("t", tarOf())])), {});
});

const noise = randomBytes(300_000);
const tar = tarOf(file("t/noise", { data: noise }), file("t/f"));
const gzip = gzipSync(tar);
const zstd = zstdCompressSync(tar);
const packed = (bytes: Buffer, mediaType = "a/tar"): BuiltLayer =>
  layer(bytes, mediaType, { [TITLE]: "t", "io.deis.oras.content.unpack": "true" });

const packings: Record<string, BuiltLayer> = {
  "gzip called zstd": packed(gzip, "application/vnd.oci.image.layer.v1.tar+zstd"),
  "zstd called gzip": packed(zstd, "application/vnd.oci.image.layer.v1.tar+gzip"),
  "a plain tar called gzip": packed(tar, "application/vnd.oci.image.layer.v1.tar+gzip"),
  "gzip called JSON": packed(gzip, "application/json"),
  "gzip in members that end in mid-header": packed(
    Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(""), gzipSync(tar.subarray(700))]),
  ),
  "zstd in frames, with skippable ones": packed(
    Buffer.concat([
      Buffer.from("502a4d1804000000deadbeef", "hex"),
      zstdCompressSync(tar.subarray(0, 700)),
      zstdCompressSync(tar.subarray(700)),
    ]),
  ),
  "zstd with a window of 128 MiB": packed(zstdWithWindow(27)),
  "gzip, then garbage": packed(Buffer.concat([gzip, noise])),
  "a tar, then 50 MB of zeros": tarLayer("t", Buffer.concat([tar, Buffer.alloc(50_000_000)])),
};

describe("the first bytes say how a tar is packed:", () => {
  for (const [name, built] of Object.entries(packings)) {
    test(name, REAL, async () => {
      await bench.serves(artifact([built]), async (volume) => {
        assert.ok(readFileSync(join(volume, "t/noise")).equals(noise));
        assert.equal(readFileSync(join(volume, "t/f"), "utf8"), "x");
      });
    });
  }
});

test("a layer that is not to be unpacked is a file, whatever it holds", REAL, async () => {
  for (const unpack of ["false", "TRUE", "1", ""]) {
    const annotations = { [TITLE]: "t", "io.deis.oras.content.unpack": unpack };
    await bench.serves(artifact([layer(gzip, "application/gzip", annotations)]), async (volume) => {
      assert.ok(readFileSync(join(volume, "t")).equals(gzip));
    });
  }
});

/** A frame that says which window it needs. */
function zstdWithWindow(log: number): Buffer {
  const params = { [zlib.ZSTD_c_windowLog]: 20, [zlib.ZSTD_c_contentSizeFlag]: 0 };
  const frame = zstdCompressSync(tar, { params });
  frame[5] = (log - 10) << 3;
  return frame;
}
