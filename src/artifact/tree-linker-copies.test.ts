import assert from "node:assert/strict";
import {
  chownSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { errnoOf } from "../base/index.ts";
import { UnpackBudget } from "../unpack/index.ts";
import { FileLinker } from "./file-linker.ts";
import { TreeLinker } from "./tree-linker.ts";

const skip = whyNoSmallDisk();

const budget = () => new UnpackBudget({ maxBytes: 2 ** 30, maxEntries: 1_000_000 }, "all layers");

/** Links a file until its file system takes no more. */
function exhaustLinks(path: string, folder: string): void {
  mkdirSync(folder);
  try {
    for (let i = 0; ; i++) linkSync(path, join(folder, String(i)));
  } catch (error) {
    assert.equal(errnoOf(error), "EMLINK");
  }
}

test("a file that takes no more links gets one more copy, with mode and time, for all trees from then on", {
  skip,
}, () => {
  using disk = useSmallDisk();
  const blob = join(disk.path, "blob");
  writeFileSync(blob, "content", { mode: 0o755 });
  utimesSync(blob, 1234, 1234);
  const { ino: before } = lstatSync(blob);
  exhaustLinks(blob, join(disk.path, "links"));
  const make = (tree: string) => {
    const root = join(disk.path, "staging", tree);
    mkdirSync(dirname(root), { recursive: true });
    const linker = new TreeLinker(root, budget());
    for (const name of ["a", "b", "c"]) linker.addFile(name, blob, 7);
    assert.deepEqual(linker.finish(), { bytes: 21, inodes: 4 });
    return root;
  };
  for (const root of [make("one"), make("two")]) {
    const found = ["a", "b", "c"].map((name) => lstatSync(join(root, name)));
    const { ino } = lstatSync(blob);
    assert.notEqual(ino, before);
    for (const each of found)
      assert.deepEqual([each.ino, each.mode & 0o7777, each.mtimeMs, each.nlink], [ino, 0o755, 1_234_000, 7]);
    assert.equal(readFileSync(join(root, "c"), "utf8"), "content");
  }
  assert.equal(lstatSync(join(disk.path, "links/0")).ino, before, "what was linked before stays");
  assert.deepEqual(readdirSync(join(disk.path, "staging")).sort(), ["one", "two"]);
});

test("hard links of a layer stay together when their links are used up, and its folders keep their times", {
  skip,
}, () => {
  using disk = useSmallDisk();
  const folder = join(disk.path, "layer");
  mkdirSync(folder);
  const [one, two] = ["one", "two"].map((name) => join(folder, name));
  assert.ok(one && two);
  writeFileSync(one, "content");
  linkSync(one, two);
  utimesSync(folder, 1234, 1234);
  exhaustLinks(one, join(disk.path, "links"));
  const root = join(disk.path, "tree");
  const linker = new FileLinker(root);
  mkdirSync(root);
  for (const name of ["one", "two"]) linker.link(Buffer.from(join(folder, name)), Buffer.from(join(root, name)));
  const inodes = [one, two, join(root, "one"), join(root, "two")].map((path) => lstatSync(path).ino);
  assert.equal(new Set(inodes).size, 1);
  assert.notEqual(inodes[0], lstatSync(join(disk.path, "links/0")).ino);
  assert.equal(lstatSync(folder).mtimeMs, 1_234_000);
});

test("what is in the way stays, and so does the file whose links are used up", { skip }, () => {
  using disk = useSmallDisk();
  const blob = join(disk.path, "blob");
  writeFileSync(blob, "content");
  exhaustLinks(blob, join(disk.path, "links"));
  const { ino } = lstatSync(blob);
  const target = join(disk.path, "target");
  writeFileSync(target, "other");
  const linker = new FileLinker(join(disk.path, "tree"));
  assert.throws(() => linker.link(Buffer.from(blob), Buffer.from(target)), { code: "EEXIST" });
  assert.equal(readFileSync(target, "utf8"), "other");
  assert.equal(lstatSync(blob).ino, ino);
  assert.deepEqual(
    readdirSync(disk.path).filter((name) => name.startsWith("tree")),
    [],
  );
});

test("a symlink that takes no more links is made anew: what it leads to is never read", { skip }, () => {
  using disk = useSmallDisk();
  const secret = join(disk.path, "secret");
  writeFileSync(secret, "secret");
  const link = join(disk.path, "link");
  symlinkSync(secret, link);
  exhaustLinks(link, join(disk.path, "links"));
  const root = join(disk.path, "tree");
  const linker = new TreeLinker(root, budget());
  linker.addFile("a", link, 0);
  linker.addFile("b", link, 0);
  linker.finish();
  for (const name of ["a", "b"]) {
    assert.ok(lstatSync(join(root, name)).isSymbolicLink());
    assert.equal(readlinkSync(join(root, name)), secret);
  }
});

test("the copy has the owner, mode and time of an image's file or symlink", { skip }, () => {
  using disk = useSmallDisk();
  const at = (name: string) => join(disk.path, name);
  writeFileSync(at("file"), "content", { mode: 0o1750 });
  chownSync(at("file"), 12, 34);
  utimesSync(at("file"), 1_700_000_000.25, 1_700_000_000.25);
  symlinkSync("file", at("link"));
  lchownSync(at("link"), 56, 78);
  lutimesSync(at("link"), 1234, 1234);
  const files = new FileLinker(at("tree"));
  for (const name of ["file", "link"]) {
    exhaustLinks(at(name), at(`${name}-links`));
    files.link(Buffer.from(at(name)), Buffer.from(at(`${name}-copy`)));
    const [original, copy] = [`${name}-links/0`, `${name}-copy`].map((path) => lstatSync(at(path), { bigint: true }));
    assert.notEqual(copy?.ino, original?.ino);
    const facts = [original, copy].map((found) => [found?.mode, found?.uid, found?.gid, found?.mtimeNs]);
    assert.deepEqual(facts[0], facts[1]);
  }
});
