import assert from "node:assert/strict";
import { chmodSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type TarFields, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, type FoundEntry, listTree, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { runFuzz } from "../../test/fuzz/fuzz-run.ts";
import type { Prng } from "../../test/helpers/prng.ts";
import { OverlayStack } from "../../test/helpers/overlay-stack.ts";
import { DriverError } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { UnpackBudget, writeLayerIndex } from "../unpack/index.ts";
import { type ImageLayer, ImageLinker } from "./image-linker.ts";

const skip = process.getuid?.() === 0 ? false : "an image's files have owners: that needs root";
const skipOverlay = OverlayStack.whyNot();

const file = (name: string, data = name, more: Partial<TarFields> = {}): TarFields => ({ name, data, ...more });
const folder = (name: string, more: Partial<TarFields> = {}): TarFields => {
  return { name, type: "5", mode: 0o755, mtime: 1_000, ...more };
};
const symlink = (name: string, linkName: string): TarFields => ({ name, type: "2", linkName });
const hardLink = (name: string, linkName: string): TarFields => ({ name, type: "1", linkName });
const hide = (name: string): TarFields => ({ name });

/** A place for an image's layers and trees. */
function useLayers(limits = { maxBytes: 2 ** 30, maxEntries: 1_000_000 }) {
  const area = createUnpackArea();
  const layers: ImageLayer[] = [];
  let trees = 0;
  return {
    layers,
    async add(tar: Buffer): Promise<void> {
      const source = join(area.folder, `layer-${layers.length}`);
      mkdirSync(source);
      const { index } = await unpackBytes(tar, source, { way: "image" });
      writeLayerIndex(index, `${source}.index`);
      layers.push({ name: digestOf(tar), index: `${source}.index`, folder: source });
    },
    link() {
      const root = join(area.folder, `tree-${++trees}`);
      using linker = new ImageLinker(layers, new UnpackBudget(limits, "all layers"), (_, error) => error);
      return { root, ...linker.link(root) };
    },
    [Symbol.dispose]: () => area[Symbol.dispose](),
  };
}

async function treeOf(...layers: readonly (readonly TarFields[])[]): Promise<string[]> {
  using place = useLayers();
  for (const entries of layers) await place.add(tarOf(...entries));
  const { root, inodes } = place.link();
  const found = listTree(root);
  assert.equal(inodes, found.length + 1);
  return found.map(({ path, type, content }) => `${type} ${path}${type === "folder" ? "" : `=${content}`}`);
}

describe("as an overlay of the layers shows it", { skip: skipOverlay }, () => {
  const base = [folder("d", { mode: 0o711, uid: 7 }), file("d/a"), file("d/b"), file("f"), symlink("s", "d")];
  const rows: Record<string, readonly (readonly TarFields[])[]> = {
    "layers beside each other": [base, [file("g"), folder("e"), file("e/x")]],
    "a later file replaces an earlier one": [base, [file("f", "newer")]],
    "a file over a folder": [base, [file("d", "was a folder")]],
    "a file over a folder, then a folder again": [base, [file("d")], [folder("d"), file("d/c")]],
    "a symlink over a folder": [base, [symlink("d", "f")]],
    "a folder over a file": [base, [folder("f"), file("f/x")]],
    "a folder over a symlink": [base, [folder("s"), file("s/x")]],
    "a folder that only a path implies over a symlink": [base, [file("s/x")]],
    "a folder that only a path implies over a file": [base, [file("f/x/y")]],
    "a folder on a folder has the last one's facts": [base, [folder("d", { mode: 0o700, uid: 1, gid: 2, mtime: 9 })]],
    "a whiteout of a file": [base, [hide("d/.wh.a")]],
    "a whiteout of a folder": [base, [hide(".wh.d")]],
    "a whiteout of a symlink": [base, [hide(".wh.s")]],
    "a whiteout of what is not there": [base, [hide(".wh.nothing"), hide("no/.wh.thing")]],
    "a whiteout twice": [base, [hide("d/.wh.a"), hide("d/.wh.a")]],
    "a whiteout of a hidden thing": [base, [hide("d/.wh.a")], [hide("d/.wh.a")]],
    "a whiteout before what the layer has there": [base, [hide(".wh.f"), file("f", "newer")]],
    "a whiteout after what the layer has there": [base, [file("f", "newer"), hide(".wh.f")]],
    "a whiteout before a folder of its own": [base, [hide(".wh.d"), folder("d"), file("d/c")]],
    "a whiteout after a folder of its own": [base, [folder("d"), file("d/c"), hide(".wh.d")]],
    "a whiteout of a folder that only a path implies": [base, [file("d/c"), hide(".wh.d")]],
    "an opaque folder": [base, [folder("d"), hide("d/.wh..wh..opq"), file("d/c")]],
    "an opaque folder, said last": [base, [folder("d"), file("d/c"), hide("d/.wh..wh..opq")]],
    "an opaque folder, twice": [base, [folder("d"), hide("d/.wh..wh..opq"), hide("d/.wh..wh..opq")]],
    "an opaque folder over a file": [base, [folder("f"), hide("f/.wh..wh..opq"), file("f/x")]],
    "whiteouts of any type": [
      base,
      [folder("d/.wh.a"), symlink("d/.wh.b", "x"), { name: ".wh.f", type: "3" }, hardLink(".wh.s", "nowhere")],
    ],
    "what is in a whiteout": [base, [folder(".wh.d"), file(".wh.d/x"), file(".wh.f/y/z")]],
    "whiteouts with ./": [base, [hide("./d/.wh.a"), hide("./.wh.f")]],
    "a whiteout through a symlink of a lower layer": [base, [hide("s/.wh.a")]],
    "old bookkeeping": [base, [folder(".wh..wh.plnk"), file(".wh..wh.aufs", ""), folder(".wh..wh.orph"), file("x")]],
    "old bookkeeping anywhere": [base, [folder("d"), file("d/.wh..wh.x"), file("d/.wh..wh.y/z"), file("d/c")]],
    "names that only look like whiteouts": [base, [file("d/.wh"), file("d/wh.a"), file("d/x.wh.a"), file(".whx")]],
    "a hidden folder comes back": [base, [hide(".wh.d")], [file("d/c")]],
    "a folder below a hidden one comes back": [[file("d/e/f")], [hide(".wh.d")], [folder("d"), folder("d/e")]],
    "below an opaque folder": [
      [file("d/e/f"), file("d/g/h")],
      [folder("d"), hide("d/.wh..wh..opq"), file("d/e/i")],
      [file("d/g/j")],
    ],
    "a hard link within a layer": [base, [file("x"), hardLink("y", "x")]],
    "a hard link into a lower layer": [base, [hardLink("y", "d/a"), hardLink("d/z", "s")]],
    "a hard link in place of what it leads to": [base, [hide("d/.wh.a"), hardLink("moved", "d/a")]],
    "a hard link over what it leads to": [base, [hardLink("d", "d/a")]],
    "a hard link to a link into a lower layer": [base, [hardLink("y", "d/a")], [hardLink("z", "y"), hide(".wh.y")]],
    "links whose target changes later": [base, [hardLink("y", "f"), file("f", "newer")], [file("f", "newest")]],
    "the same layer twice": [base, [hide(".wh.d")], base],
  };
  test("each of these, in a folder of its own", async () => {
    const depth = Math.max(...Object.values(rows).map((row) => row.length));
    const layers = Array.from({ length: depth }, (_, i) =>
      Object.entries(rows).flatMap(([name, row]) => (row[i] ?? []).map((entry) => within(name, entry))),
    );
    await compare(layers);
  });

  test("an opaque root", async () => await compare([base, [hide(".wh..wh..opq"), file("x")]]));

  test("whatever the layers are", async (t) => {
    await runFuzz(t, { iterations: 15, tryOne: (prng) => tryRandomLayers(prng) });
  });
});

/** The same entry in a folder; a symlink's target is left as it is. */
function within(folderName: string, entry: TarFields): TarFields {
  const at = (path: string | Buffer) =>
    String(path).replace(/^(\.\/)?/, `$1${folderName.replaceAll(/[^a-z]+/g, "-")}/`);
  return { ...entry, name: at(entry.name), ...(entry.type === "1" ? { linkName: at(entry.linkName ?? "") } : {}) };
}

async function compare(layers: readonly (readonly TarFields[])[]): Promise<void> {
  using stack = OverlayStack.create();
  using place = useLayers();
  for (const entries of layers) {
    stack.add(entries);
    await place.add(tarOf(...entries));
  }
  sameTrees(place.link(), stack.merged, layers);
}

function sameTrees(
  { root, bytes, inodes }: { root: string; bytes: number; inodes: number },
  merged: string,
  layers: readonly (readonly TarFields[])[],
): void {
  const said = saidFolders(layers);
  assert.deepEqual(factsBelow(root, said), factsBelow(merged, said));
  const files = listTree(root).filter(({ type }) => type === "file");
  const distinct = new Map(
    files.map(({ path }) => [lstatSync(join(root, path)).ino, lstatSync(join(root, path)).size]),
  );
  assert.equal(
    bytes,
    [...distinct.values()].reduce((sum, size) => sum + size, 0),
  );
  assert.equal(inodes, listTree(root).length + 1);
}

/** The folders that the last layer which has them has an entry for: only of those all tools say the same. */
function saidFolders(layers: readonly (readonly TarFields[])[]): ReadonlySet<string> {
  const said = new Set<string>();
  for (const entries of layers) {
    const names = entries.map(({ name }) => String(name).replace(/^\.\//, ""));
    for (const name of names) for (const parent of parentsOf(name)) said.delete(parent);
    for (const [i, { type }] of entries.entries()) if (type === "5") said.add(names[i] ?? "");
  }
  return said;
}

function parentsOf(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}

function factsBelow(root: string, said: ReadonlySet<string>): unknown[] {
  return listTree(root).map(({ path, type, mode, content, mtime }) => {
    const { uid, gid } = lstatSync(join(root, path));
    return type === "folder" && !said.has(path) ? [path, type] : [path, type, mode, content, mtime, uid, gid];
  });
}

async function tryRandomLayers(prng: Prng): Promise<string> {
  using stack = OverlayStack.create();
  using place = useLayers();
  const layers: TarFields[][] = [];
  for (let i = 0; i < 2 + prng.below(4); i++) {
    const entries = randomLayer(prng, i === 0 ? [] : listTree(stack.merged));
    layers.push(entries);
    stack.add(entries);
    await place.add(tarOf(...entries));
  }
  try {
    sameTrees(place.link(), stack.merged, layers);
  } catch (error) {
    throw new Error(
      JSON.stringify(layers.map((layer) => layer.map(({ name, type, linkName }) => [name, type, linkName]))),
      {
        cause: error,
      },
    );
  }
  return `${layers.length} layers`;
}

const names = ["a", "b", "c"] as const;

/** A layer that is right by itself: nothing is twice in it, or below what is no folder. */
function randomLayer(prng: Prng, lower: readonly FoundEntry[]): TarFields[] {
  const own = new Map<string, string>();
  const entries: TarFields[] = [];
  for (let i = 0; i < 1 + prng.below(8); i++) {
    const path = Array.from({ length: 1 + prng.below(3) }, () => prng.pick(names)).join("/");
    const isWhiteout = prng.oneIn(3);
    const parents = parentsOf(path).slice(0, -1);
    if (parents.some((parent) => (own.get(parent) ?? "5") !== "5") || (!isWhiteout && own.has(path))) continue;
    for (const parent of parents) if (!own.has(parent)) own.set(parent, "5");
    const facts = { uid: prng.below(3), gid: prng.below(3), mtime: 1 + prng.below(1000), mode: 0o600 + prng.below(64) };
    const at = path.lastIndexOf("/") + 1;
    if (isWhiteout)
      entries.push(
        hide(
          prng.oneIn(3) && at > 0 ? `${path.slice(0, at)}.wh..wh..opq` : `${path.slice(0, at)}.wh.${path.slice(at)}`,
        ),
      );
    else {
      const entry = randomEntry(prng, path, facts, lower, own);
      own.set(path, entry.type ?? "0");
      entries.push(entry);
    }
  }
  return entries;
}

function randomEntry(
  prng: Prng,
  name: string,
  facts: Partial<TarFields>,
  lower: readonly FoundEntry[],
  own: ReadonlyMap<string, string>,
): TarFields {
  const targets = lower.filter(({ path, type }) => type !== "folder" && !own.has(path) && path !== name);
  const target = targets[prng.below(targets.length)];
  if (prng.oneIn(5) && target !== undefined) {
    // One that is below a file or a link of the layer itself could not be there.
    const isReachable = parentsOf(target.path).every((parent) => (own.get(parent) ?? "5") === "5" && parent !== name);
    if (isReachable) return hardLink(name, target.path);
  }
  if (prng.oneIn(3)) return folder(name, facts);
  if (prng.oneIn(4)) return { ...symlink(name, prng.pick(names)), ...facts };
  return file(name, `${name} ${prng.below(1000)}`, facts);
}

describe("images", { skip }, () => {
  test("owners, modes without setuid and setgid, and times are the tar's", async () => {
    using place = useLayers();
    await place.add(
      tarOf(
        folder("./", { mode: 0o701, uid: 5, gid: 6, mtime: 7 }),
        file("f", "x", { mode: 0o6755, uid: 4_000_000 % 2 ** 21, gid: 4, mtime: 1_234_567_890 }),
        folder("d", { mode: 0o1777, uid: 1, gid: 2, mtime: 99 }),
        file("d/secret", "x", { mode: 0o000, uid: 33, gid: 34 }),
        { ...symlink("s", "f"), uid: 8, gid: 9, mtime: 77 },
      ),
    );
    const { root } = place.link();
    const facts = (path: string) => {
      const { mode, uid, gid, mtimeMs } = lstatSync(join(root, path));
      return [(mode & 0o7777).toString(8), uid, gid, mtimeMs / 1000];
    };
    assert.deepEqual(facts("."), ["701", 5, 6, 7]);
    assert.deepEqual(facts("f"), ["755", 4_000_000 % 2 ** 21, 4, 1_234_567_890]);
    assert.deepEqual(facts("d"), ["1777", 1, 2, 99]);
    assert.deepEqual(facts("d/secret"), ["0", 33, 34, 0]);
    assert.deepEqual(facts("s"), ["777", 8, 9, 77]);
  });

  test("layers are never changed: two images share one, with other layers below and above it", async () => {
    using place = useLayers();
    await place.add(tarOf(folder("d", { mode: 0o750 }), file("d/a")));
    await place.add(tarOf(hardLink("linked", "d/a"), hide("d/.wh.a")));
    await place.add(tarOf(folder("d", { mode: 0o700, uid: 9 }), file("d/a", "other")));
    const [a, linked, other] = place.layers;
    assert.ok(a && linked && other);
    const linkTo = (...layers: ImageLayer[]) => {
      place.layers.splice(0, place.layers.length, ...layers);
      return place.link().root;
    };
    const read = (root: string) =>
      listTree(root).map(({ path, content, mode }) => `${path} ${content} ${mode.toString(8)}`);
    const one = linkTo(a, linked);
    const two = linkTo(other, linked);
    assert.deepEqual(read(one), ["d  750", "linked d/a 644"]);
    assert.deepEqual(read(two), ["d  700", "linked other 644"]);
    assert.deepEqual(read(linkTo(a)), ["d  750", "d/a d/a 644"]);
    assert.equal(lstatSync(join(one, "linked")).ino, lstatSync(join(a.folder, "d/a")).ino);
    assert.equal(lstatSync(join(two, "linked")).ino, lstatSync(join(other.folder, "d/a")).ino);
  });

  test("hard links to what the old union file system kept are files", async () => {
    const kept = [folder(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "kept"), hardLink("x", ".wh..wh.plnk/1.2")];
    assert.deepEqual(await treeOf([...kept, hardLink("y", ".wh..wh.plnk/1.2")]), ["file x=kept", "file y=kept"]);
  });

  test("a root that is called /, and links that lead from there, as kaniko writes them", async () => {
    using place = useLayers();
    await place.add(tarOf(folder("/", { mode: 0o711, mtime: 7 }), file("d/f"), hardLink("own", "/d/f")));
    await place.add(tarOf(hardLink("lower", "//d/f")));
    const { root } = place.link();
    assert.deepEqual([lstatSync(root).mode & 0o7777, lstatSync(root).mtimeMs], [0o711, 7_000]);
    const inodes = ["d/f", "own", "lower"].map((path) => lstatSync(join(root, path)).ino);
    assert.equal(new Set(inodes).size, 1);
  });

  test("a device over a lower layer's file hides it, and is not there itself", async () => {
    const device = { name: "f", type: "3" };
    assert.deepEqual(await treeOf([file("f"), file("g")], [device]), ["file g=g"]);
    assert.deepEqual(await treeOf([file("f/x"), file("g")], [device]), ["file g=g"]);
    assert.deepEqual(await treeOf([device, file("g")], [hardLink("h", "f")]), ["file g=g"]);
  });

  test("no layers make an empty tree; layers without entries change nothing", async () => {
    assert.deepEqual(await treeOf(), []);
    assert.deepEqual(await treeOf([], [file("f")], []), ["file f=f"]);
  });

  test("names are bytes", async () => {
    const name = Buffer.from([0x66, 0xff, 0xfe]);
    const whiteout = Buffer.concat([Buffer.from(".wh."), name]);
    assert.deepEqual(await treeOf([{ name, data: "x" }], [file("g")]), ["file f\xff\xfe=x", "file g=g"]);
    assert.deepEqual(await treeOf([{ name, data: "x" }], [{ name: whiteout }, file("g")]), ["file g=g"]);
  });

  test("a hundred layers", async () => {
    using place = useLayers();
    for (let i = 0; i < 100; i++) await place.add(tarOf(file(`f-${i}`), file("last", `${i}`), hide(`.wh.f-${i - 1}`)));
    const { root } = place.link();
    assert.deepEqual(
      listTree(root).map(({ path }) => path),
      ["f-99", "last"],
    );
    assert.equal(readFileSync(join(root, "last"), "utf8"), "99");
  });

  test("an implied folder keeps what a lower layer says of it, whatever the umask", async () => {
    using place = useLayers();
    await place.add(tarOf(folder("d", { mode: 0o710, uid: 3, gid: 4, mtime: 5 })));
    await place.add(tarOf(file("d/x"), file("e/y")));
    const umask = process.umask(0o077);
    try {
      const { root } = place.link();
      const { mode, uid, gid, mtimeMs } = lstatSync(join(root, "d"));
      assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs], [0o710, 3, 4, 5_000]);
      assert.equal(lstatSync(join(root, "e")).mode & 0o7777, 0o755);
      assert.equal(lstatSync(root).mode & 0o7777, 0o755);
    } finally {
      process.umask(umask);
    }
  });

  const refused: Record<string, { layers: readonly (readonly TarFields[])[]; says: RegExp }> = {
    "a hard link to what no layer has": {
      layers: [[file("f")], [hardLink("d/h", "g/x")]],
      says: /entry "d\/h": its target "g\/x" is no file before it in its layer, nor one in a lower layer/,
    },
    "a hard link to what is hidden": {
      layers: [[file("f")], [hide(".wh.f")], [hardLink("h", "f")]],
      says: /"f" is no file/,
    },
    "a hard link to a lower layer's folder": { layers: [[folder("d")], [hardLink("h", "d")]], says: /"d" is no file/ },
    "a hard link through a lower layer's symlink": {
      layers: [[file("d/f"), symlink("s", "d")], [hardLink("h", "s/f")]],
      says: /"s\/f" is no file/,
    },
    "a name from the root on": { layers: [[file("/etc/passwd")]], says: /is an absolute path/ },
    "a hard link to what is only on the node": {
      layers: [[hardLink("h", "/etc/passwd")]],
      says: /"etc\/passwd" is no file/,
    },
    "a hard link to the root": { layers: [[hardLink("h", "/")]], says: /is an absolute path/ },
    "a hard link that leads out": { layers: [[hardLink("h", "../../etc/passwd")]], says: /leads out/ },
    "a path through a symlink of its own layer": {
      layers: [[symlink("s", "/tmp"), file("s/f")]],
      says: /through a symlink/,
    },
    "a whiteout through a symlink of its own layer": {
      layers: [[symlink("s", "/tmp"), hide("s/.wh.f")]],
      says: /through a symlink/,
    },
    "an owner that no file can have": {
      layers: [[{ name: "p", type: "x", data: "11 uid=0.5\n" }, file("f")]],
      says: /entry "f": its owner is 0\.5:0, which no file's can be/,
    },
    "a whiteout that leads out": { layers: [[hide("../.wh.f")]], says: /leads out/ },
    "a whiteout of ..": { layers: [[hide("d/.wh...")]], says: /whiteout of no name/ },
    "a whiteout of .": { layers: [[hide("d/.wh..")]], says: /whiteout of no name/ },
    "a whiteout of nothing": { layers: [[hide("d/.wh.")]], says: /whiteout of no name/ },
  };
  for (const [name, { layers, says }] of Object.entries(refused)) {
    test(`refuses ${name}`, async () => {
      await assert.rejects(treeOf(...layers), (error) => {
        assert.ok(error instanceof DriverError, String(error));
        assert.equal(error.kind, "refused");
        assert.match(error.message, says);
        return true;
      });
    });
  }

  test("all layers together obey the limits, also when they were unpacked for others", async () => {
    using place = useLayers({ maxBytes: 2 ** 30, maxEntries: 5 });
    for (const letter of ["a", "b", "c"]) await place.add(tarOf(file(`${letter}1`), file(`${letter}2`)));
    assert.throws(() => place.link(), { kind: "refused", message: /over the limit of 5 entries/ });
  });

  test("a layer of which the disk lost something is named", async () => {
    using place = useLayers();
    await place.add(tarOf(file("f")));
    await place.add(tarOf(file("g")));
    const [, second] = place.layers;
    chmodSync(second?.index ?? "", 0o600);
    const failed: ImageLayer[] = [];
    const broken = place.layers.map((layer) => (layer === second ? { ...layer, folder: "/nowhere" } : layer));
    const budget = new UnpackBudget({ maxBytes: 100, maxEntries: 100 }, "all layers");
    using linker = new ImageLinker(broken, budget, (layer, error) => {
      failed.push(layer);
      return error;
    });
    assert.throws(() => linker.link(join(second?.folder ?? "", "../lost")), { code: "ENOENT" });
    assert.deepEqual(
      failed.map(({ name }) => name),
      [second?.name],
    );
  });
});
