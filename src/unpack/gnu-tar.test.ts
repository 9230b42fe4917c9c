import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { base256, gnuLong, paxEntry, type TarFields, tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, type FoundEntry, listTree, unpackBytes } from "../../test/fixtures/unpacking.ts";

// The judge of these tests is the GNU tar of this machine: it unpacks the same archives beside us.

const MIB = 1024 ** 2;
const gnu = spawnSync("tar", ["--version"], { encoding: "utf8" });
const skip = gnu.stdout?.startsWith("tar (GNU tar)") ? false : "needs GNU tar";
const skipModes = process.getuid?.() === 0 ? skip : "packing what has no mode bits needs root";

for (const format of ["v7", "oldgnu", "gnu", "ustar", "pax"]) {
  for (const packing of [[], ["--gzip"], ["--zstd"]]) {
    test(`unpacks what GNU tar makes: ${[format, ...packing].join(" ")}`, { skip: skipModes }, async () => {
      using area = createUnpackArea();
      makeTree(join(area.folder, "tree"), format);
      const made = tar(["--create", `--format=${format}`, ...packing, "-C", join(area.folder, "tree"), "."]);
      assert.equal(made.status, 0, made.stderr.toString());
      await compareWithGnuTar(made.stdout, area.folder, area.root);
    });
  }
}

const sparseFormats = [
  ["--format=oldgnu"],
  ["--format=gnu"],
  ...["0.0", "0.1", "1.0"].map((version) => ["--format=pax", `--sparse-version=${version}`]),
];
for (const format of sparseFormats) {
  test(`unpacks sparse files as GNU tar does: ${format.join(" ")}`, { skip }, async () => {
    using area = createUnpackArea();
    const tree = join(area.folder, "tree");
    makeSparseFiles(tree);
    const made = tar(["--create", "--sparse", ...format, "-C", tree, "."]);
    assert.equal(made.status, 0, made.stderr.toString());
    assert.ok(made.stdout.length < MIB / 2, `${made.stdout.length} bytes: its holes are in it`);
    const ours = await compareWithGnuTar(made.stdout, area.folder, area.root);
    for (const name of ["holes-only", "many-holes", "hole-first"]) {
      const { size, blocks } = lstatSync(join(ours, name));
      assert.ok(blocks * 512 < size / 2, `${name} has ${blocks} blocks for ${size} bytes`);
    }
  });
}

const file = (name: string, content = name): Buffer => tarEntry({ name, data: content });
const folder = (name: string, fields: Partial<TarFields> = {}): Buffer => tarEntry({ name, type: "5", ...fields });
const symlink = (name: string, linkName: string): Buffer => tarEntry({ name, type: "2", linkName });
const hardLink = (name: string, linkName: string): Buffer => tarEntry({ name, type: "1", linkName });

const archives: readonly { readonly name: string; readonly tar: Buffer }[] = [
  {
    name: "./ forms, double slashes",
    tar: tarOf(folder("./", { mode: 0o755 }), file("./a"), file("b//c"), file("b/./d")),
  },
  { name: "no entry for a parent", tar: tarOf(file("a/b/c/d")) },
  { name: "a file twice", tar: tarOf(file("a", "first"), file("a", "second")) },
  { name: "a file twice, linked between", tar: tarOf(file("a", "old"), hardLink("b", "a"), file("a", "newer")) },
  {
    name: "a folder twice",
    tar: tarOf(folder("d/", { mtime: 5 }), file("d/f"), folder("d", { mode: 0o751, mtime: 9 })),
  },
  { name: "a folder after what is in it", tar: tarOf(file("d/f"), folder("d/", { mode: 0o711, mtime: 9 })) },
  { name: "a file over an empty folder", tar: tarOf(folder("d/"), file("d")) },
  { name: "a symlink over an empty folder", tar: tarOf(folder("d/"), symlink("d", "x")) },
  { name: "a folder over a file", tar: tarOf(file("d"), folder("d/", { mode: 0o755 }), file("d/f")) },
  {
    name: "a folder over a symlink",
    tar: tarOf(file("e/x"), symlink("d", "e"), folder("d/", { mode: 0o755 }), file("d/y")),
  },
  { name: "a file over a symlink", tar: tarOf(file("e"), symlink("d", "e"), file("d", "own")) },
  { name: "a symlink over a file", tar: tarOf(file("d"), symlink("d", "e")) },
  { name: "a hard link to a symlink", tar: tarOf(symlink("s", "t"), hardLink("l", "s")) },
  { name: "a hard link to itself", tar: tarOf(file("t"), hardLink("./t", "t")) },
  { name: "a hard link over a file", tar: tarOf(file("t"), file("u"), hardLink("u", "./t")) },
  { name: "symlinks that lead out", tar: tarOf(symlink("a", "/etc/passwd"), symlink("b", "../../x"), file("c")) },
  {
    name: "sizes of links, folders that mean nothing",
    tar: tarOf(
      tarEntry({ name: "d", type: "5", size: 512 }),
      file("t"),
      tarEntry({ name: "l", type: "1", linkName: "t", size: 9 }),
      tarEntry({ name: "s", type: "2", linkName: "t", size: 9 }),
      file("z"),
    ),
  },
  {
    name: "an old folder: a file with a slash",
    tar: tarOf(tarEntry({ name: "d/", format: "v7", mode: 0o755 }), file("d/f")),
  },
  { name: "an unknown type is a file", tar: tarOf(tarEntry({ name: "f", type: "Z", data: "content" }), file("g")) },
  {
    name: "types NUL and 7 are files",
    tar: tarOf(tarEntry({ name: "f", type: "\0", data: "x" }), tarEntry({ name: "g", type: "7", data: "y" })),
  },
  { name: "a volume label", tar: tarOf(tarEntry({ name: "label", type: "V", format: "gnu" }), file("f")) },
  {
    name: "a folder of an incremental dump",
    tar: tarOf(tarEntry({ name: "d", type: "D", format: "gnu", mode: 0o755, data: "Yf\0\0" }), file("d/f")),
  },
  { name: "base 256", tar: tarOf(tarEntry({ name: "f", size: base256(3), data: "abc" }), file("g")) },
  { name: "a size of NULs", tar: tarOf(tarEntry({ name: "f", size: Buffer.alloc(12) }), file("g")) },
  { name: "a signed checksum", tar: tarOf(tarEntry({ name: Buffer.from([0xe9, 0x61]), checksum: "signed" })) },
  { name: "ustar prefix", tar: tarOf(tarEntry({ name: "f", prefix: "p/q" })) },
  {
    name: "no prefix without ustar magic",
    tar: tarOf(tarEntry({ name: "f", prefix: "p", format: "gnu" }), tarEntry({ name: "g", prefix: "p", format: "v7" })),
  },
  {
    name: "PAX path, size, mtime",
    tar: tarOf(
      paxEntry({ path: "long", size: "3", mtime: "7.5" }),
      tarEntry({ name: "s", size: 0, data: "" }).subarray(0, 512),
      Buffer.from("abc".padEnd(512, "\0")),
      file("g"),
    ),
  },
  { name: "PAX linkpath", tar: tarOf(paxEntry({ linkpath: "elsewhere" }), symlink("s", "t")) },
  { name: "PAX mtime before 1970", tar: tarOf(paxEntry({ mtime: "-5.25" }), file("f")) },
  {
    name: "global PAX, overridden for one",
    tar: tarOf(paxEntry({ mtime: "77" }, "g"), file("a"), paxEntry({ mtime: "88" }), file("b"), file("c")),
  },
  {
    name: "global PAX between header and entry",
    tar: tarOf(paxEntry({ path: "two" }), paxEntry({ mtime: "11" }, "g"), file("b")),
  },
  {
    name: "two PAX headers: the second counts",
    tar: tarOf(paxEntry({ path: "two" }), paxEntry({ mtime: "11" }), file("b")),
  },
  { name: "PAX wins over a long name", tar: tarOf(paxEntry({ path: "two" }), gnuLong("L", "one"), file("b")) },
  { name: "two long names: the second counts", tar: tarOf(gnuLong("L", "one"), gnuLong("L", "two"), file("b")) },
  {
    name: "a long link name",
    tar: tarOf(gnuLong("K", "t".repeat(300)), gnuLong("L", "n".repeat(200)), symlink("b", "c")),
  },
  { name: "Solaris' PAX type", tar: tarOf(tarEntry({ name: "p", type: "X", data: "10 path=x\n" }), file("b")) },
  {
    name: "NULs after PAX records",
    tar: tarOf(tarEntry({ name: "p", type: "x", data: "10 path=x\n\0\0" }), file("b")),
  },
  { name: "unknown PAX keys", tar: tarOf(paxEntry({ "SCHILY.xattr.user.a": "b", comment: "x\ny" }), file("b")) },
  { name: "a lone block of zeros ends it", tar: Buffer.concat([file("a"), Buffer.alloc(512), file("b")]) },
  { name: "no end marker", tar: file("a") },
  { name: "zeros that fill no block", tar: Buffer.concat([file("a"), Buffer.alloc(100)]) },
  { name: "garbage after the end", tar: Buffer.concat([tarOf(file("a")), Buffer.from("garbage")]) },
  {
    name: "a sparse map that is not in order",
    tar: tarOf(
      paxEntry({
        "GNU.sparse.size": "9000",
        "GNU.sparse.numblocks": "3",
        "GNU.sparse.name": "real",
        "GNU.sparse.map": "4096,3,0,2,9000,0",
      }),
      tarEntry({ name: "s", size: 5, data: "" }).subarray(0, 512),
      Buffer.from("abc".padEnd(512, "\0")),
      Buffer.from("de".padEnd(512, "\0")),
      file("g"),
    ),
  },
  {
    name: "a sparse file that is replaced, and linked to",
    tar: tarOf(
      paxEntry({ "GNU.sparse.size": "600", "GNU.sparse.numblocks": "2", "GNU.sparse.map": "512,3,600,0" }),
      file("s", "abc"),
      hardLink("l", "s"),
      file("s", "plain"),
    ),
  },
  {
    name: "names that are no UTF-8, or differ in bytes only",
    tar: tarOf(
      tarEntry({ name: Buffer.from([0x61, 0xff]) }),
      file("\u00e9"),
      file("e\u0301"),
      file("a\\b"),
      file("-x "),
      file("*\n"),
    ),
  },
];

for (const { name, tar: archive } of archives) {
  test(`reads as GNU tar does: ${name}`, { skip }, async () => {
    using area = createUnpackArea();
    await compareWithGnuTar(archive, area.folder, area.root);
  });
}

/** Unpacks with both; what we made must be what GNU tar made, with the modes that artifacts have. */
async function compareWithGnuTar(archive: Buffer, area: string, root: string): Promise<string> {
  const theirs = join(area, "gnu");
  mkdirSync(theirs);
  writeFileSync(join(area, "archive.tar"), archive);
  const unpacked = tar(["--extract", "--preserve-permissions", "-f", join(area, "archive.tar"), "-C", theirs]);
  assert.equal(unpacked.status, 0, unpacked.stderr.toString());
  for (const partBytes of [archive.length, 513, 7]) {
    const ours = join(root, `parts-${partBytes}`);
    mkdirSync(ours);
    const { index } = await unpackBytes(archive, ours, { partBytes });
    const found = listTree(ours);
    assert.deepEqual(
      withoutImpliedTimes(found, index),
      withoutImpliedTimes(listTree(theirs).flatMap(asArtifact), index),
    );
  }
  return join(root, `parts-${archive.length}`);
}

type Index = Awaited<ReturnType<typeof unpackBytes>>["index"];

/** Times that no tar said are not compared: those of folders without entries, and of symlinks, which we leave. */
function withoutImpliedTimes(entries: readonly FoundEntry[], index: Index): FoundEntry[] {
  const implied = new Set<string>();
  for (let row = 0; row < index.rowCount; row++) {
    if (index.type(row) === "folder" && index.mtime(row) === undefined) implied.add(index.path(row).toString("latin1"));
  }
  return entries.map((entry) => {
    return entry.type === "symlink" || implied.has(entry.path) ? { ...entry, mtime: 0 } : entry;
  });
}

function asArtifact(entry: FoundEntry): FoundEntry[] {
  if (entry.type === "other") return [];
  if (entry.type === "symlink") return [entry];
  return [{ ...entry, mode: (entry.mode & 0o777) | (entry.type === "folder" ? 0o555 : 0o444) }];
}

function tar(args: readonly string[]) {
  return spawnSync("tar", args, { maxBuffer: 64 * 1024 * 1024 });
}

/** Files with holes before, between and after their data, or with nothing else; what none is sparse. */
function makeSparseFiles(root: string): void {
  mkdirSync(root);
  const make = (name: string, size: number, parts: readonly number[], partBytes = 4096) => {
    const descriptor = openSync(join(root, name), "w");
    for (const at of parts) writeSync(descriptor, Buffer.alloc(partBytes, String(at % 7)), 0, partBytes, at);
    ftruncateSync(descriptor, size);
    futimesSync(descriptor, 5, 1_111_111);
    closeSync(descriptor);
  };
  make("holes-only", 8 * MIB, []);
  make("hole-first", 4 * MIB + 7, [4 * MIB], 7);
  make("hole-last", 2 * MIB, [0]);
  make(
    "many-holes",
    10 * MIB,
    Array.from({ length: 100 }, (_, i) => i * 100 * 1024),
  );
  make("odd-end", 3 * MIB + 1001, [0, MIB, 3 * MIB], 1001);
  make("plain", 5000, [0], 5000);
  make("empty", 0, []);
}

/** Files of many sizes, all kinds of mode, links, names as odd and as long as the format holds, a FIFO. */
function makeTree(root: string, format: string): void {
  const longest = format === "v7" ? 90 : format === "ustar" ? 200 : 1000;
  mkdirSync(join(root, "bin"), { recursive: true });
  for (const size of [0, 1, 511, 512, 513, 10_240, 300_000])
    writeFileSync(join(root, `size-${size}`), "x".repeat(size));
  for (const mode of [0o000, 0o200, 0o400, 0o644, 0o755, 0o4755, 0o2755, 0o1644]) {
    const path = join(root, "bin", `mode-${mode.toString(8)}`);
    writeFileSync(path, path);
    chmodSync(path, mode);
    utimesSync(path, 1, 1_000_000_000 + mode);
  }
  for (const mode of [0o000, 0o555, 0o700, 0o1777, 0o2755]) {
    mkdirSync(join(root, `folder-${mode.toString(8)}`));
    writeFileSync(join(root, `folder-${mode.toString(8)}`, "inside"), "inside");
    chmodSync(join(root, `folder-${mode.toString(8)}`), mode);
    utimesSync(join(root, `folder-${mode.toString(8)}`), 1, 900_000_000 + mode);
  }
  linkSync(join(root, "size-513"), join(root, "zz-linked"));
  symlinkSync("bin/mode-755", join(root, "relative"));
  symlinkSync("/nowhere/at/all", join(root, "absolute"));
  writeFileSync(Buffer.concat([Buffer.from(`${root}/not-utf8-`), Buffer.from([0xff, 0xfe])]), "bytes");
  writeFileSync(join(root, "späße-☃"), "utf-8");
  const parts = ["long", "p".repeat(Math.min(80, longest - 20))];
  while (parts.join("/").length + 82 < longest) parts.push("q".repeat(80));
  mkdirSync(join(root, ...parts), { recursive: true });
  writeFileSync(join(root, ...parts, "f"), "deep");
  if (format !== "v7") spawnSync("mkfifo", [join(root, "fifo")]);
}
