import assert from "node:assert/strict";
import { mkdirSync, rmdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { makeFolders } from "./make-folders.ts";

const MS_BIND = 1 << 12;

test("all that is missing is made with the mode; what is there stays", async (t) => {
  const folder = useTempFolder(t);
  mkdirSync(join(folder, "a"), { mode: 0o711 });
  for (let i = 0; i < 2; i++) await makeFolders(join(folder, "a/b/c"), 0o700);
  const modes = ["a", "a/b", "a/b/c"].map((path) => (statSync(join(folder, path)).mode & 0o777).toString(8));
  assert.deepEqual(modes, ["711", "700", "700"]);
  await makeFolders("/");
});

test("many at once make the same", async (t) => {
  const path = join(useTempFolder(t), "a/b/c/d");
  await Promise.all(Array.from({ length: 20 }, () => makeFolders(path)));
  assert.ok(statSync(path).isDirectory());
});

test("a link to a folder is one; a file, also on the way, and a link to nothing are errors", async (t) => {
  const folder = useTempFolder(t);
  mkdirSync(join(folder, "there"));
  writeFileSync(join(folder, "file"), "");
  symlinkSync("there", join(folder, "link"));
  symlinkSync("nowhere", join(folder, "dangling"));
  await makeFolders(join(folder, "link"));
  await makeFolders(join(folder, "link/below"));
  await assert.rejects(makeFolders(join(folder, "file")), { code: "EEXIST" });
  await assert.rejects(makeFolders(join(folder, "file/below")), { code: "ENOTDIR" });
  await assert.rejects(makeFolders(join(folder, "dangling")), { code: "ENOENT" });
});

test("where nothing can be made it is an error, not a try without end", async () => {
  await assert.rejects(makeFolders("/proc/self/no/such"), { code: "ENOENT" });
});

test("in a folder that was deleted while it is mounted, too", { skip: skipMounts }, async () => {
  await using area = await useMountArea();
  const [deleted, mounted] = [area.folder("deleted"), area.folder("mounted")];
  await area.libc.mount({ source: deleted, target: mounted, flags: MS_BIND });
  rmdirSync(deleted);
  await assert.rejects(makeFolders(join(mounted, "a/b")), { code: "ENOENT" });
});
