import assert from "node:assert/strict";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { requireNoOthersFolder, requireNothingInTheWay } from "./others-folder.ts";

const fine = undefined;
const rows: [what: string, entries: string[], command: RegExp | undefined, driver: RegExp | undefined][] = [
  ["is empty", [], fine, fine],
  ["is a file system of its own", ["lost+found/"], fine, fine],
  ["has empty folders", ["tmp/", "home/"], fine, fine],
  ["has other files", ["notes.txt"], /is no data dir of oras-csi, "notes.txt" is in it: see --data-dir$/, fine],
  ["has a tmp", ["tmp/precious"], /"tmp" is in it/, /what is in its tmp would be deleted: see --data-dir$/],
  ["has an old tmp", ["tmp.old/precious"], /"tmp.old" is in it/, /what is in its tmp.old would be deleted/],
  ["has a file of a folder's name", ["names"], /"names" is in it/, fine],
  ["is the Go driver's", ["default/ghcr-io/model", "blobs/sha256/0"], /is in it/, fine],
  ["has a lock that says something", ["lock=me", "tmp/x"], /"lock" is in it/, /what is in its tmp would/],
  ["has only a lock", ["lock", "tmp/x"], fine, fine],
];
for (const [what, entries, command, driver] of rows) {
  test(`a folder that ${what} is ${command === fine ? "free" : "left alone by commands"}`, (t) => {
    const folder = useTempFolder(t);
    for (const entry of entries) {
      const [name = "", content = ""] = entry.split("=");
      const path = join(folder, name);
      mkdirSync(name.endsWith("/") ? path : join(path, ".."), { recursive: true });
      if (!name.endsWith("/")) writeFileSync(path, content);
    }
    for (const [check, says] of [
      [requireNoOthersFolder, command],
      [requireNothingInTheWay, driver],
    ] as const) {
      if (says === fine) check(folder);
      else assert.throws(() => check(folder), { kind: "refused", message: says });
    }
  });
}

test("a data dir is one also without its format, or without its lock", async (t) => {
  const { path, layout, open } = useDataDir(t);
  await open();
  writeFileSync(join(layout.tmp, "leftover"), "");
  writeFileSync(join(path, "unknown"), "");
  requireNoOthersFolder(path);
  rmSync(layout.formatFile);
  requireNoOthersFolder(path);
  requireNothingInTheWay(path);
});

test("a lock that is a link is nobody's: /var has one", (t) => {
  const folder = useTempFolder(t);
  symlinkSync("/dev/null", join(folder, "lock"));
  assert.throws(() => requireNoOthersFolder(folder), { kind: "refused" });
});

test("what is not there, or is a file, is told of by whoever makes the folder", (t) => {
  const folder = useTempFolder(t);
  writeFileSync(join(folder, "file"), "");
  for (const name of ["none", "file", "file/below"]) {
    requireNoOthersFolder(join(folder, name));
    requireNothingInTheWay(join(folder, name));
  }
});
