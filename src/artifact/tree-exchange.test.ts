import assert from "node:assert/strict";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { exchangeTree } from "./tree-exchange.ts";

interface Folder {
  readonly [entry: string]: Entry;
}
/** A file, a symlink or a hard link with what it leads to, a folder. */
type Entry = string | readonly ["link" | "same", string] | Folder;

/** Where the folders of an exchange are to be, none of which is there yet. */
function usePlaces(t: TestContext) {
  const area = useTempFolder(t);
  const at = (name: string) => join(area, name);
  return { blobs: at("blobs"), staged: at("staged"), tree: at("tree"), aside: at("aside") };
}

/** Makes a folder of files (texts), links, links to files of `blobs`, and folders. */
function make(folder: string, entries: Folder): void {
  mkdirSync(folder);
  for (const [name, entry] of Object.entries(entries)) {
    const path = join(folder, name);
    if (typeof entry === "string") writeFileSync(path, entry);
    else if (!isLink(entry)) make(path, entry);
    else if (entry[0] === "link") symlinkSync(entry[1], path);
    else linkSync(entry[1], path);
  }
}

function isLink(entry: readonly ["link" | "same", string] | Folder): entry is readonly ["link" | "same", string] {
  return Array.isArray(entry);
}

test("what differs is replaced, what is missing is added, what is too much is taken out; the rest is left alone", (t) => {
  const { blobs, staged, tree, aside } = usePlaces(t);
  make(blobs, { good: "good", other: "other" });
  const kept: Entry = ["same", join(blobs, "good")];
  make(tree, {
    kept,
    wrong: "bad",
    folder: { kept, extra: "extra", deep: { x: "bad" } },
    becomesFile: { a: "a" },
    becomesFolder: "file",
    link: ["link", "old"],
    sameLink: ["link", "same"],
    extra: { b: "b" },
  });
  make(staged, {
    kept,
    wrong: ["same", join(blobs, "other")],
    folder: { kept, deep: { x: "good" }, new: "new" },
    becomesFile: "file",
    becomesFolder: { c: "c" },
    link: ["link", "new"],
    sameLink: ["link", "same"],
  });
  mkdirSync(aside);
  chmodSync(join(staged, "folder"), 0o750);
  utimesSync(staged, 1000, 1000);
  const [root, folder, sameLink] = ["", "folder", "sameLink"].map((name) => lstatSync(join(tree, name)).ino);

  assert.equal(exchangeTree({ staged, tree, aside }), 8);
  assert.deepEqual(readdirSync(tree, { recursive: true }).map(String).sort(), [
    "becomesFile",
    "becomesFolder",
    "becomesFolder/c",
    "folder",
    "folder/deep",
    "folder/deep/x",
    "folder/kept",
    "folder/new",
    "kept",
    "link",
    "sameLink",
    "wrong",
  ]);
  assert.equal(statSync(join(tree, "wrong")).ino, statSync(join(blobs, "other")).ino);
  assert.equal(readFileSync(join(tree, "folder/deep/x"), "utf8"), "good");
  assert.equal(readFileSync(join(tree, "becomesFile"), "utf8"), "file");
  assert.equal(readlinkSync(join(tree, "link")), "new");
  assert.deepEqual(
    ["", "folder", "sameLink"].map((name) => lstatSync(join(tree, name)).ino),
    [root, folder, sameLink],
  );
  assert.equal(statSync(join(tree, "folder")).mode & 0o777, 0o750);
  assert.equal(statSync(tree).mtimeMs, 1_000_000);
});

test("a tree that is as it should be is left alone", (t) => {
  const { blobs, staged, tree, aside } = usePlaces(t);
  make(blobs, { a: "a" });
  for (const folder of [staged, tree]) make(folder, { a: ["same", join(blobs, "a")], d: { l: ["link", "../a"] } });
  mkdirSync(aside);
  assert.equal(exchangeTree({ staged, tree, aside }), 0);
  assert.deepEqual(readdirSync(aside), []);
});
