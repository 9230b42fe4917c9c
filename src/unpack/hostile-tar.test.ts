import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { gnuLong, paxEntry, type TarFields, TAR_END, tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { DriverError } from "../base/index.ts";
import { UnpackBudget } from "./unpack-budget.ts";

const file = (name: string | Buffer, fields: Partial<TarFields> = {}) => tarEntry({ name, data: "x", ...fields });
const folder = (name: string) => tarEntry({ name, type: "5" });
const symlink = (name: string, linkName: string) => tarEntry({ name, type: "2", linkName });
const hardLink = (name: string, linkName: string) => tarEntry({ name, type: "1", linkName });
const part = "p".repeat(255);

const refused: readonly { readonly name: string; readonly tar: Buffer; readonly says: RegExp }[] = [
  {
    name: "an absolute path",
    tar: tarOf(file("/tmp/evil")),
    says: /entry "\/tmp\/evil": its name is an absolute path/,
  },
  { name: "a path that leads out", tar: tarOf(file("../evil")), says: /entry "\.\.\/evil": its name leads out/ },
  { name: "a path that leads out and in", tar: tarOf(file("a/../../root/evil")), says: /leads out/ },
  { name: "a folder that leads out", tar: tarOf(folder("..")), says: /entry "\.\.": its name leads out/ },
  { name: "a PAX path that leads out", tar: tarOf(paxEntry({ path: "../evil" }), file("good")), says: /"\.\.\/evil"/ },
  { name: "a global PAX path that leads out", tar: tarOf(paxEntry({ path: "/e" }, "g"), file("good")), says: /"\/e"/ },
  { name: "a long name that leads out", tar: tarOf(gnuLong("L", "a/../../e"), file("good")), says: /"a\/..\/..\/e"/ },
  {
    name: "a prefix that leads out",
    tar: tarOf(file("evil", { prefix: ".." })),
    says: /"\.\.\/evil": its name leads out/,
  },
  {
    name: "a file through a symlink out",
    tar: tarOf(symlink("s", ".."), file("s/evil")),
    says: /"s\/evil": .*through a symlink/,
  },
  {
    name: "a file through a symlink inside",
    tar: tarOf(folder("d"), symlink("s", "d"), file("s/f")),
    says: /through a symlink/,
  },
  { name: "a folder through a symlink", tar: tarOf(symlink("s", ".."), folder("s/d")), says: /through a symlink/ },
  {
    name: "a symlink through a symlink",
    tar: tarOf(symlink("s", "."), symlink("s/t", "/etc")),
    says: /through a symlink/,
  },
  {
    name: "a chain of symlinks",
    tar: tarOf(folder("a/b"), symlink("a/b/c", ".."), symlink("d", "a/b/c/.."), file("d/evil")),
    says: /"d\/evil": .*symlink/,
  },
  {
    name: "a hard link to an absolute path",
    tar: tarOf(hardLink("l", "/etc/passwd")),
    says: /entry "l": its target "\/etc\/passwd" is an absolute/,
  },
  {
    name: "a hard link that leads out",
    tar: tarOf(hardLink("l", "../outside")),
    says: /entry "l": its target "\.\.\/outside" leads out/,
  },
  {
    name: "a hard link through a symlink",
    tar: tarOf(symlink("s", ".."), hardLink("l", "s/outside")),
    says: /entry "l": .*symlink/,
  },
  {
    name: "a hard link to a symlink out, then a file over it",
    tar: tarOf(symlink("s", "../outside"), hardLink("l", "s"), hardLink("m", "l/x")),
    says: /entry "m"/,
  },
  {
    name: "a hard link before its target",
    tar: tarOf(hardLink("l", "t"), file("t")),
    says: /its target "t" is not in the tar before it/,
  },
  {
    name: "a hard link to a folder",
    tar: tarOf(folder("d"), hardLink("l", "d")),
    says: /entry "l": it is a hard link to a folder/,
  },
  { name: "a hard link without a target", tar: tarOf(hardLink("l", "")), says: /entry "l": its target "" is empty/ },
  {
    name: "a symlink without a target",
    tar: tarOf(symlink("l", "")),
    says: /entry "l": it is a symlink without a target/,
  },
  {
    name: "a symlink's target that is too long",
    tar: tarOf(gnuLong("K", "t".repeat(5000)), symlink("l", "")),
    says: /entry "l": .*too long/,
  },
  { name: "a file where a folder must be", tar: tarOf(file("a"), file("a/b")), says: /entry "a\/b": .*no folder/ },
  {
    name: "a device where a folder must be",
    tar: tarOf(file("a", { type: "3", data: "" }), file("a/b")),
    says: /entry "a\/b": .*no folder/,
  },
  {
    name: "a file over a full folder",
    tar: tarOf(file("a/b"), file("a")),
    says: /entry "a": it is a file where a folder is/,
  },
  {
    name: "a symlink over a full folder",
    tar: tarOf(file("a/b"), symlink("a", "b")),
    says: /entry "a": it is a symlink where/,
  },
  { name: "a file in the root's place", tar: tarOf(file(".")), says: /"\.": it stands for the folder/ },
  {
    name: "a symlink in the root's place",
    tar: tarOf(symlink("./.", "/etc")),
    says: /"\.\/\.": it stands for the folder/,
  },
  { name: "an empty name", tar: tarOf(file("")), says: /entry "": its name is empty/ },
  {
    name: "NUL in a PAX path",
    tar: tarOf(paxEntry({ path: "a\0b" }), file("x")),
    says: /entry "a\\x00b": there is a NUL byte/,
  },
  {
    name: "NUL in a long name",
    tar: tarOf(gnuLong("L", "a\0b"), file("x")),
    says: /entry "a\\x00b": there is a NUL byte/,
  },
  {
    name: "NUL in a PAX linkpath",
    tar: tarOf(paxEntry({ linkpath: "a\0b" }), symlink("x", "y")),
    says: /entry "x": .*NUL byte/,
  },
  {
    name: "a name that ends in the middle",
    tar: gnuLong("L", "n".repeat(600)).subarray(0, 1024),
    says: /cut off in the middle/,
  },
  {
    name: "a name without an entry",
    tar: tarOf(gnuLong("L", "name")),
    says: /entry "name": the tar ends after its name/,
  },
  { name: "a PAX header without an entry", tar: paxEntry({ mtime: "1" }), says: /ends after the header of an entry/ },
  {
    name: "10,000 folders deep",
    tar: tarOf(gnuLong("L", "d/".repeat(10_000)), folder("d")),
    says: /has more than 255 parts/,
  },
  {
    name: "256 folders deep",
    tar: tarOf(gnuLong("L", "d/".repeat(256)), folder("d")),
    says: /has more than 255 parts/,
  },
  {
    name: "a path of 4,096 bytes",
    tar: tarOf(gnuLong("L", `${`${part}/`.repeat(15)}${"q".repeat(256)}`), file("x")),
    says: /has a part of more than 255 bytes/,
  },
  {
    name: "a path of 4,097 bytes",
    tar: tarOf(gnuLong("L", `${`${part}/`.repeat(16)}x`), file("x")),
    says: /has more than 4095 bytes/,
  },
  {
    name: "a long name of 2 MiB",
    tar: tarOf(gnuLong("L", "n".repeat(2 ** 21)), file("x")),
    says: /header of more than 1 MiB/,
  },
  {
    name: "a negative size",
    tar: tarOf(paxEntry({ size: "-1" }), file("x")),
    says: /entry "x": its size is said to be -1 bytes/,
  },
  {
    name: "a size beyond all numbers",
    tar: tarOf(paxEntry({ size: "9".repeat(19) }), file("x")),
    says: /entry "x": its size/,
  },
  {
    name: "a size that is no number",
    tar: tarOf(file("x", { size: Buffer.from("12345678901x") })),
    says: /entry "x": its size is no number/,
  },
  {
    name: "a size of blanks",
    tar: tarOf(file("x", { size: Buffer.alloc(12, " ") })),
    says: /entry "x": its size is no number/,
  },
  {
    name: "a fraction of a byte",
    tar: tarOf(paxEntry({ size: "1.5" }), file("x")),
    says: /entry "x": its size is said to be 1.5/,
  },
  {
    name: "a PAX record of a wrong length",
    tar: tarOf(tarEntry({ name: "p", type: "x", data: "99 path=x\n" }), file("x")),
    says: /wrong length/,
  },
  {
    name: "a PAX record without its end",
    tar: tarOf(tarEntry({ name: "p", type: "x", data: "9 path=xy" }), file("x")),
    says: /does not end/,
  },
  {
    name: "a PAX record without a value",
    tar: tarOf(tarEntry({ name: "p", type: "x", data: "7 path\n" }), file("x")),
    says: /no value/,
  },
  {
    name: "a PAX record of length 0",
    tar: tarOf(tarEntry({ name: "p", type: "x", data: "0 path=x\n" }), file("x")),
    says: /wrong length/,
  },
  { name: "a damaged header", tar: tarOf(file("a"), file("b", { checksum: 1 })), says: /header in it is damaged/ },
  { name: "no tar at all", tar: Buffer.from("<html>not a tar</html>".repeat(100)), says: /damaged .*or it is no tar/ },
  { name: "a short page that is no tar", tar: Buffer.from("<html>"), says: /cut off/ },
  { name: "nothing", tar: Buffer.alloc(0), says: /it is empty/ },
  {
    name: "a sparse file without a size",
    tar: tarOf(paxEntry({ "GNU.sparse.major": "1", "GNU.sparse.name": "real" }), file("s")),
    says: /entry "real": it is a sparse file whose size is no number, or not there/,
  },
  {
    name: "a sparse file whose map leads beyond its end",
    tar: tarOf(paxEntry({ "GNU.sparse.map": "0,1,9,2", "GNU.sparse.size": "10" }), file("s", { data: "123" })),
    says: /entry "s": .* its map leads beyond its end/,
  },
  {
    name: "a sparse file with more content than the tar has of it",
    tar: tarOf(paxEntry({ "GNU.sparse.map": "0,9", "GNU.sparse.size": "10" }), file("s", { data: "123" })),
    says: /entry "s": .* more content than its size/,
  },
  {
    name: "a sparse file whose map is not whole",
    tar: tarOf(paxEntry({ "GNU.sparse.map": "0,1,2", "GNU.sparse.size": "10" }), file("s", { data: "123" })),
    says: /entry "s": .* its map is not whole/,
  },
  {
    name: "a sparse file whose map has no numbers",
    tar: tarOf(paxEntry({ "GNU.sparse.map": "0,x", "GNU.sparse.size": "10" }), file("s", { data: "123" })),
    says: /entry "s": .* a number in its map is none/,
  },
  {
    name: "a sparse file whose map does not end in its content",
    tar: tarOf(paxEntry({ "GNU.sparse.major": "1", "GNU.sparse.realsize": "10" }), file("s", { data: "9\n0\n" })),
    says: /entry "s": .* a number in its map is none/,
  },
  {
    name: "a sparse file with a map of a million parts",
    tar: tarOf(
      paxEntry({ "GNU.sparse.major": "1", "GNU.sparse.realsize": "10" }),
      file("s", { data: `1000000\n${"0\n".repeat(1_100_000)}` }),
    ),
    says: /entry "s": .* of more than 524288 parts/,
  },
  {
    name: "a file from another volume",
    tar: tarOf(file("m", { type: "M", format: "gnu" })),
    says: /entry "m": it is the rest/,
  },
];

for (const { name, tar, says } of refused) {
  test(`refuses ${name}`, async () => {
    for (const partBytes of [tar.length || 1, 100]) {
      using area = createUnpackArea();
      writeFileSync(join(area.folder, "outside"), "untouched");
      await assert.rejects(unpackBytes(tar, area.root, { partBytes }), (error) => {
        assert.ok(error instanceof DriverError, String(error));
        assert.equal(error.kind, "refused", error.message);
        assert.match(error.message, says);
        assert.ok(error.message.length <= 1000);
        return true;
      });
      assert.deepEqual(readdirSync(area.folder).sort(), ["outside", "root"]);
      assert.equal(readFileSync(join(area.folder, "outside"), "utf8"), "untouched");
    }
  });
}

test("refuses a tar that is cut off anywhere but between two entries", async () => {
  const entries = [folder("d"), gnuLong("L", "n".repeat(150)), file("x", { data: "y".repeat(1500) }), file("z")];
  const tar = Buffer.concat([...entries, TAR_END]);
  const ends = new Set<number>();
  for (let i = 0, end = 0; i < entries.length; i++) {
    end += entries[i]!.length;
    if (i !== 1) ends.add(end);
  }
  for (let length = 1; length < tar.length - TAR_END.length; length += 37) await check(length);
  for (let length = 512; length < tar.length - TAR_END.length; length += 512) await check(length);

  async function check(length: number): Promise<void> {
    using area = createUnpackArea();
    const unpacking = unpackBytes(tar.subarray(0, length), area.root);
    if (ends.has(length)) await unpacking;
    else await assert.rejects(unpacking, { kind: "refused", message: /cut off|ends after/ }, `cut at ${length}`);
  }
});

test("refuses a gzip bomb behind the end marker before it is read to its end", async () => {
  using area = createUnpackArea();
  const bomb = gzipSync(Buffer.concat([tarOf(file("a")), Buffer.alloc(64 * 1024 * 1024)]));
  const budgets = [new UnpackBudget({ maxBytes: 1024 * 1024, maxEntries: 10 }, "the layer")];
  await assert.rejects(unpackBytes(bomb, area.root, { budgets }), { kind: "refused", message: /beside its files/ });
});
