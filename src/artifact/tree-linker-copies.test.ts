import assert from "node:assert/strict";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { errnoOf } from "../base/index.ts";
import { UnpackBudget } from "../unpack/index.ts";
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

test("a file that takes no more links is copied once, with mode and time, and the copy is linked", { skip }, () => {
  using disk = useSmallDisk();
  const blob = join(disk.path, "blob");
  writeFileSync(blob, "content", { mode: 0o755 });
  utimesSync(blob, 1234, 1234);
  exhaustLinks(blob, join(disk.path, "links"));
  const root = join(disk.path, "tree");
  const linker = new TreeLinker(root, budget());
  for (const name of ["a", "b", "c"]) linker.addFile(name, blob, 7);
  assert.deepEqual(linker.finish(), { bytes: 21, inodes: 4 });
  const found = ["a", "b", "c"].map((name) => lstatSync(join(root, name)));
  for (const { ino, mode, mtimeMs, nlink } of found) {
    assert.notEqual(ino, lstatSync(blob).ino);
    assert.deepEqual([ino, mode & 0o7777, mtimeMs, nlink], [found[0]?.ino, 0o755, 1_234_000, 3]);
  }
  assert.equal(readFileSync(join(root, "c"), "utf8"), "content");
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
