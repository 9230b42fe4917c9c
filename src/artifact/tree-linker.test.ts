import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { base256, gnuLong, type TarFields, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, type FoundEntry, listTree, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { DriverError } from "../base/index.ts";
import { UnpackBudget, writeLayerIndex } from "../unpack/index.ts";
import { type LayerSource, TreeLinker } from "./tree-linker.ts";

const folder = (name: string, mode = 0o755, mtime = 1_000): TarFields => ({ name, type: "5", mode, mtime });
const file = (name: string, data = name): TarFields => ({ name, data });
const symlink = (name: string, linkName: string): TarFields => ({ name, type: "2", linkName });
const hardLink = (name: string, linkName: string): TarFields => ({ name, type: "1", linkName });

/** A layer of a tree under test: a file with this content, or the entries of a folder's tar. */
type Layer =
  | { readonly title: string; readonly content: string }
  | { readonly title: string; readonly tar: readonly TarFields[] };

/** A place for one tree and the layers that it is made of. */
function use(limits = { maxBytes: 2 ** 30, maxEntries: 1_000_000 }) {
  const area = createUnpackArea();
  const root = join(area.folder, "tree");
  const linker = new TreeLinker(root, new UnpackBudget(limits, "all layers"));
  let made = 0;
  const add = async (layer: Layer) => {
    if ("tar" in layer) return addTar(layer.title, tarOf(...layer.tar));
    const source = join(area.folder, `layer-${++made}`);
    writeFileSync(source, layer.content, { mode: 0o644 });
    linker.addFile(layer.title, source, layer.content.length);
    return source;
  };
  const addTar = async (title: string, tar: Buffer, more: Pick<LayerSource, "movesBelow" | "isSpent"> = {}) => {
    const source = join(area.folder, `layer-${++made}`);
    const index = `${source}.index`;
    mkdirSync(source);
    writeLayerIndex((await unpackBytes(tar, source)).index, index);
    linker.addLayer({ index, folder: source, title, ...more });
    return source;
  };
  return { area, root, linker, add, addTar, [Symbol.dispose]: () => area[Symbol.dispose]() };
}

const inode = (path: string) => lstatSync(path).ino;
const modeOf = (path: string) => lstatSync(path).mode & 0o7777;
const secondsOf = (path: string) => Math.floor(lstatSync(path).mtimeMs / 1000);
const paths = (found: readonly FoundEntry[]) => found.map(({ path, type }) => `${type} ${path}`);

test("files are links to their blobs, in folders that anybody may enter whatever the umask", async () => {
  const umask = process.umask(0o077);
  try {
    using place = use();
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
  using place = use();
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
  using place = use();
  await place.add({ title: ".", tar: [folder("./", 0o700, 5_555), file("./a/b")] });
  place.linker.finish();
  assert.deepEqual([modeOf(place.root), secondsOf(place.root)], [0o755, 5_555]);
  assert.deepEqual(paths(listTree(place.root)), ["folder a", "file a/b"]);
});

test("the layer's own root is not the tree's, unless it is titled so", async () => {
  using place = use();
  await place.add({ title: "a", tar: [folder("./", 0o700, 5_555), file("a/b")] });
  place.linker.finish();
  assert.notEqual(secondsOf(place.root), 5_555);
});

test("layers share folders, the later one's mode and time count", async () => {
  using place = use();
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
  using place = use();
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
    using place = use();
    const name = Buffer.from([0x61, 0x2f, 0xff, 0xfe]);
    await place.add({ title: "a", tar: [{ name, data: "x" }] });
    assert.deepEqual(paths(listTree(place.root)), ["folder a", "file a/\u00ff\u00fe"]);
  });

  test("paths of 4,095 bytes are reached", async () => {
    using place = use();
    const parts = Array.from({ length: 15 }, (_, i) => String.fromCharCode(97 + i).repeat(255));
    const deep = [...parts, "z".repeat(4095 - 15 * 256)].join("/");
    assert.equal(deep.length, 4095);
    const tar = tarOf(gnuLong("L", deep), file("x", "1"), file("short", "2"));
    const source = await place.addTar(".", tar);
    place.linker.addFile(`${deep.slice(0, -1)}y`, join(source, "short"), 1);
    assert.deepEqual(place.linker.finish(), { bytes: 2 + 1, inodes: 1 + 15 + 1 + 1 + 1 });
  });
});

describe("all layers of a tree together obey the limits, wherever they come from", () => {
  const limits = { maxBytes: 100, maxEntries: 4 };
  const refuses = async (place: ReturnType<typeof use>, layer: Layer, says: RegExp) => {
    await assert.rejects(place.add(layer), { name: "DriverError", kind: "refused", message: says });
  };

  test("entries", async () => {
    using place = use(limits);
    await place.add({ title: "a", tar: [folder("a"), file("a/x"), file("a/x")] });
    await place.add({ title: "b", tar: [file("b/x")] });
    await refuses(
      place,
      { title: "c", tar: [file("c/x")] },
      /layer "c": it takes all layers over the limit of 4 entries/,
    );
  });

  test("one layer under many titles counts each time", async () => {
    using place = use(limits);
    for (let i = 0; i < 4; i++) await place.add({ title: ".", tar: [folder("a")] });
    await refuses(place, { title: ".", tar: [folder("a")] }, /4 entries/);
  });

  test("bytes", async () => {
    using place = use(limits);
    await place.add({ title: "a", tar: [file("a/x", "x".repeat(60))] });
    await place.add({ title: "files", content: "x".repeat(200) });
    await refuses(place, { title: "b", tar: [file("b/x", "x".repeat(41))] }, /layer "b": .*100 unpacked bytes/);
  });

  test("folders that only titles imply", async () => {
    using place = use(limits);
    await place.add({ title: "1/2/3/4/file", content: "" });
    await place.add({ title: "1/2/3/4/other", content: "" });
    await refuses(place, { title: "5/file", content: "" }, /layer "5\/file": .*4 folders without entries/);
  });
});

describe("refused, with the path named", () => {
  const rows: readonly { name: string; layers: readonly Layer[]; says: RegExp }[] = [
    {
      name: "a file over a folder's file",
      layers: [
        { title: "a", tar: [file("a/x")] },
        { title: "a/x", content: "1" },
      ],
      says: /two layers make "a\/x"/,
    },
    {
      name: "a folder's file over a file",
      layers: [
        { title: "a/x", content: "1" },
        { title: "a", tar: [file("a/x")] },
      ],
      says: /two layers make "a\/x"/,
    },
    {
      name: "one file of two folders",
      layers: [
        { title: ".", tar: [file("x")] },
        { title: ".", tar: [file("x")] },
      ],
      says: /two layers make "x"/,
    },
    {
      name: "a file where a folder must be",
      layers: [
        { title: "a", tar: [file("a/x")] },
        { title: "a/x/y", content: "1" },
      ],
      says: /"a\/x" is a file or a link of one layer where another layer needs a folder/,
    },
    {
      name: "a folder where a file must be",
      layers: [
        { title: "a", tar: [folder("a/x")] },
        { title: "a/x", content: "1" },
      ],
      says: /two layers make "a\/x"/,
    },
    {
      name: "a file through a symlink",
      layers: [
        { title: "a", tar: [symlink("a/link", "/")] },
        { title: "a/link/etc/x", content: "1" },
      ],
      says: /"a\/link" is a file or a link/,
    },
    {
      name: "a folder through a symlink",
      layers: [
        { title: ".", tar: [symlink("a", "..")] },
        { title: "a", tar: [file("a/x")] },
      ],
      says: /"a" is a file or a link/,
    },
    {
      name: "a symlink over a folder",
      layers: [
        { title: "a/link/x", content: "1" },
        { title: "a", tar: [symlink("a/link", "/")] },
      ],
      says: /two layers make "a\/link"/,
    },
    {
      name: "an entry beside the title",
      layers: [{ title: "a", tar: [file("b")] }],
      says: /layer titled "a" holds "b", which is outside/,
    },
    {
      name: "an entry that begins like the title",
      layers: [{ title: "a", tar: [file("ab/c")] }],
      says: /holds "ab", which is outside/,
    },
    {
      name: "an entry above the title",
      layers: [{ title: "a/b", tar: [file("a/c")] }],
      says: /holds "a\/c", which is outside/,
    },
    {
      name: "an entry for the folder above the title",
      layers: [{ title: "a/b", tar: [folder("a"), file("a/b/c")] }],
      says: /layer titled "a\/b" holds "a", which is outside/,
    },
    {
      name: "an entry without the title's prefix",
      layers: [{ title: "a", tar: [file("x")] }],
      says: /holds "x", which is outside/,
    },
  ];
  for (const { name, layers, says } of rows) {
    test(name, async () => {
      using place = use();
      await assert.rejects(
        async () => {
          for (const layer of layers) await place.add(layer);
        },
        (error) => {
          assert.ok(error instanceof DriverError, String(error));
          assert.equal(error.kind, "refused");
          assert.match(error.message, says);
          return true;
        },
      );
      assert.ok(statSync(place.root).isDirectory());
    });
  }
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
      using place = use();
      await place.addTar("a/b", tarOf(...tar), { movesBelow: true });
      place.linker.finish();
      assert.deepEqual(paths(listTree(place.root)), found);
    });
  }

  test("modes, times, links and counts are of the moved entries", async () => {
    using place = use();
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
      using place = use();
      const path = Array.from({ length: 10 }, () => "p".repeat(20)).join("/");
      await assert.rejects(place.addTar(path, tarOf(gnuLong("L", name), file("x")), { movesBelow: true }), says);
    }
  });

  test("two of one path share its folder", async () => {
    using place = use();
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
    using linked = use();
    using moved = use();
    await linked.addTar(".", tar);
    const source = await moved.addTar(".", tar, { isSpent: true });
    assert.deepEqual(moved.linker.finish(), linked.linker.finish());
    const ofLinked = withoutLinks(linked.root);
    assert.deepEqual(withoutLinks(moved.root), ofLinked);
    assert.deepEqual(listTree(source), []);
  });

  test("is linked where something is in the way", async () => {
    using place = use();
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
    using place = use();
    await assert.rejects(place.addTar("d", tar, { isSpent: true }), { kind: "refused" });
    assert.deepEqual(listTree(place.root), []);
  });
});
