import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { base256, gnuLong, type TarFields, tarOf } from "../../test/fixtures/tar-builder.ts";
import { listTree } from "../../test/fixtures/unpacking.ts";
import {
  file,
  folder,
  hardLink,
  inode,
  modeOf,
  paths,
  secondsOf,
  symlink,
  useTree,
} from "../../test/helpers/tree-bench.ts";

test("files are links to their blobs, in folders that anybody may enter whatever the umask", async () => {
  const umask = process.umask(0o077);
  try {
    using place = useTree();
    const blob = await place.add({ title: "a/b/file", content: "12345" });
    await place.add({ title: "a/other", content: "1" });
    assert.equal(inode(join(place.root, "a/b/file")), inode(blob));
    for (const path of [".", "a", "a/b"]) assert.equal(modeOf(join(place.root, path)), 0o755);
    assert.deepEqual(place.linker.finish(), { bytes: 6, inodes: 5 });
  } finally {
    process.umask(umask);
  }
});

test("a folder's tar is linked in with modes and times, hard links stay together", async () => {
  using place = useTree();
  const tar = [
    folder("data", 0o2700, 1_111),
    folder("data/sub", 0o750, 2_222),
    file("data/sub/one", "123"),
    hardLink("data/two", "data/sub/one"),
    symlink("data/link", "/etc/passwd"),
    { name: "data/implied/x", data: "4" },
    { name: "data/pipe", type: "6" },
  ];
  const source = await place.add({ title: "data", tar });
  assert.deepEqual(place.linker.finish(), { bytes: 4, inodes: 8 });
  const at = (path: string) => join(place.root, path);
  assert.deepEqual(paths(listTree(place.root)), [
    "folder data",
    "folder data/implied",
    "file data/implied/x",
    "symlink data/link",
    "folder data/sub",
    "file data/sub/one",
    "file data/two",
  ]);
  assert.equal(inode(at("data/two")), inode(at("data/sub/one")));
  assert.equal(inode(at("data/two")), inode(join(source, "data/two")));
  assert.equal(readlinkSync(at("data/link")), "/etc/passwd");
  assert.deepEqual([modeOf(at("data")), secondsOf(at("data"))], [0o755, 1_111]);
  assert.deepEqual([modeOf(at("data/sub")), secondsOf(at("data/sub"))], [0o755, 2_222]);
  assert.equal(modeOf(at("data/implied")), 0o755);
});

test("a folder titled . is the root, with its mode and time; what has no entry of its own has none", async () => {
  using place = useTree();
  await place.add({ title: ".", tar: [folder("./", 0o700, 5_555), file("./a/b")] });
  place.linker.finish();
  assert.deepEqual([modeOf(place.root), secondsOf(place.root)], [0o755, 5_555]);
  assert.deepEqual(paths(listTree(place.root)), ["folder a", "file a/b"]);
});

test("the layer's own root is not the tree's, unless it is titled so", async () => {
  using place = useTree();
  await place.add({ title: "a", tar: [folder("./", 0o700, 5_555), file("a/b")] });
  place.linker.finish();
  assert.notEqual(secondsOf(place.root), 5_555);
});

test("layers share folders, the later one's mode and time count", async () => {
  using place = useTree();
  await place.add({ title: "a", tar: [folder("a", 0o700, 1_000), file("a/one")] });
  await place.add({ title: "a/two", content: "2" });
  await place.add({ title: "a/b", tar: [folder("a/b", 0o777, 3_000), file("a/b/three")] });
  await place.add({ title: "a", tar: [folder("a", 0o777, 2_000), file("a/four")] });
  assert.deepEqual(place.linker.finish(), { bytes: 1 + 5 + 9 + 6, inodes: 7 });
  assert.deepEqual([modeOf(join(place.root, "a")), secondsOf(join(place.root, "a"))], [0o777, 2_000]);
  assert.deepEqual(paths(listTree(place.root)), [
    "folder a",
    "folder a/b",
    "file a/b/three",
    "file a/four",
    "file a/one",
    "file a/two",
  ]);
});

test("times before 1970 and beyond all disks are as on the layer's own folder", async () => {
  using place = useTree();
  const sources: string[] = [];
  for (const [name, mtime] of [
    ["old", -86_400],
    ["far", 2 ** 45],
  ] as const) {
    const tar = tarOf(folder(name, 0o755, 0));
    base256(mtime).copy(tar, 136);
    fixChecksum(tar);
    sources.push(join(await place.addTar(name, tar), name));
  }
  place.linker.finish();
  assert.deepEqual(
    ["old", "far"].map((name) => secondsOf(join(place.root, name))),
    sources.map(secondsOf),
  );
  assert.equal(secondsOf(join(place.root, "old")), -86_400);
});

/** Makes the checksum of a tar's first header right again. */
function fixChecksum(tar: Buffer): void {
  tar.fill(0x20, 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

describe("names are bytes", () => {
  test("those that are no UTF-8 stay as they are", async () => {
    using place = useTree();
    const name = Buffer.from([0x61, 0x2f, 0xff, 0xfe]);
    await place.add({ title: "a", tar: [{ name, data: "x" }] });
    assert.deepEqual(paths(listTree(place.root)), ["folder a", "file a/\u00ff\u00fe"]);
  });

  test("paths of 4,095 bytes are reached", async () => {
    using place = useTree();
    const parts = Array.from({ length: 15 }, (_, i) => String.fromCharCode(97 + i).repeat(255));
    const deep = [...parts, "z".repeat(4095 - 15 * 256)].join("/");
    assert.equal(deep.length, 4095);
    const tar = tarOf(gnuLong("L", deep), file("x", "1"), file("short", "2"));
    const source = await place.addTar(".", tar);
    place.linker.addFile(`${deep.slice(0, -1)}y`, join(source, "short"), 1);
    assert.deepEqual(place.linker.finish(), { bytes: 2 + 1, inodes: 1 + 15 + 1 + 1 + 1 });
  });
});

describe("a tar that may lie below its path", () => {
  const rows: { name: string; tar: readonly TarFields[]; found: readonly string[] }[] = [
    { name: "its entries begin with the path", tar: [file("a/b/x")], found: ["folder a", "folder a/b", "file a/b/x"] },
    { name: "the path is its only file", tar: [file("a/b")], found: ["folder a", "file a/b"] },
    {
      name: "one entry of many begins with the path",
      tar: [file("a/b/x"), file("c")],
      found: ["folder a", "folder a/b", "file a/b/x", "file c"],
    },
    {
      name: "no entry begins with the path",
      tar: [folder("sub"), file("sub/x")],
      found: ["folder a", "folder a/b", "folder a/b/sub", "file a/b/sub/x"],
    },
    {
      name: "a name that only begins with the same letters",
      tar: [file("a/bc")],
      found: ["folder a", "folder a/b", "folder a/b/a", "file a/b/a/bc"],
    },
    { name: "no entries", tar: [], found: ["folder a", "folder a/b"] },
  ];
  for (const { name, tar, found } of rows) {
    test(name, async () => {
      using place = useTree();
      await place.addTar("a/b", tarOf(...tar), { movesBelow: true });
      place.linker.finish();
      assert.deepEqual(paths(listTree(place.root)), found);
    });
  }

  test("modes, times, links and counts are of the moved entries", async () => {
    using place = useTree();
    const tar = [
      folder(".", 0o750, 3_333),
      folder("sub", 0o700, 4_444),
      file("sub/x", "123"),
      hardLink("y", "sub/x"),
      symlink("z", "../sub"),
    ];
    await place.addTar("a", tarOf(...tar), { movesBelow: true });
    assert.deepEqual(place.linker.finish(), { bytes: 3, inodes: 6 });
    const at = (path: string) => join(place.root, path);
    assert.deepEqual([modeOf(at("a")), secondsOf(at("a"))], [0o755, 3_333]);
    assert.deepEqual([modeOf(at("a/sub")), secondsOf(at("a/sub"))], [0o755, 4_444]);
    assert.equal(inode(at("a/y")), inode(at("a/sub/x")));
    assert.equal(readlinkSync(at("a/z")), "../sub");
  });

  test("what gets too deep or too long by it is refused", async () => {
    const deep = Array.from({ length: 250 }, () => "d").join("/");
    const long = Array.from({ length: 18 }, () => "l".repeat(220)).join("/");
    for (const [name, says] of [
      [deep, /255 parts/],
      [long, /4095 bytes/],
    ] as const) {
      using place = useTree();
      const path = Array.from({ length: 10 }, () => "p".repeat(20)).join("/");
      await assert.rejects(place.addTar(path, tarOf(gnuLong("L", name), file("x")), { movesBelow: true }), says);
    }
  });

  test("two of one path share its folder", async () => {
    using place = useTree();
    await place.addTar("a", tarOf(file("x")), { movesBelow: true });
    await place.addTar("a", tarOf(file("y")), { movesBelow: true });
    place.linker.finish();
    assert.deepEqual(paths(listTree(place.root)), ["folder a", "file a/x", "file a/y"]);
  });
});

describe("a layer that nobody needs any more", () => {
  const tar = tarOf(
    folder("d", 0o700, 5_000),
    file("d/one", "1"),
    hardLink("d/two", "d/one"),
    symlink("d/link", "one"),
    file("implied/deep/file", "3"),
    file("alone", "4"),
  );
  const withoutLinks = (root: string) => listTree(root).map((entry) => ({ ...entry, links: undefined }));

  test("is moved, and makes the tree that it would make by links", async () => {
    using linked = useTree();
    using moved = useTree();
    await linked.addTar(".", tar);
    const source = await moved.addTar(".", tar, { isSpent: true });
    assert.deepEqual(moved.linker.finish(), linked.linker.finish());
    const ofLinked = withoutLinks(linked.root);
    assert.deepEqual(withoutLinks(moved.root), ofLinked);
    assert.deepEqual(listTree(source), []);
  });

  test("is linked where something is in the way", async () => {
    using place = useTree();
    await place.add({ title: "d/mine", content: "m" });
    const source = await place.addTar(".", tar, { isSpent: true });
    place.linker.finish();
    assert.deepEqual(
      paths(listTree(place.root)).filter((path) => / d\//.test(path)),
      ["file d/link", "file d/mine", "file d/one", "file d/two"].map((path) =>
        path.replace("file d/link", "symlink d/link"),
      ),
    );
    assert.deepEqual(
      paths(listTree(source)).filter((path) => path.endsWith("alone")),
      [],
    );
  });

  test("is left whole if one of its entries is outside of its title", async () => {
    using place = useTree();
    await assert.rejects(place.addTar("d", tar, { isSpent: true }), { kind: "refused" });
    assert.deepEqual(listTree(place.root), []);
  });
});
