import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { FileDraft, syncFolder, writeFileDurably } from "./durable.ts";

test("a new file has its content, is closed to others, and is alone", async (t) => {
  const folder = useTempFolder(t);
  await writeFileDurably(join(folder, "a"), "text ü");
  await writeFileDurably(join(folder, "b"), Buffer.of(0, 255));
  await writeFileDurably(join(folder, "c"), "");
  assert.deepEqual(readdirSync(folder), ["a", "b", "c"]);
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "text ü");
  assert.deepEqual(readFileSync(join(folder, "b")), Buffer.of(0, 255));
  assert.equal(statSync(join(folder, "a")).mode & 0o7777, 0o600);
});

test("an old file is replaced, not changed: who has it open or linked keeps the old one", async (t) => {
  const folder = useTempFolder(t);
  writeFileSync(join(folder, "a"), "old and longer");
  linkSync(join(folder, "a"), join(folder, "link"));
  await writeFileDurably(join(folder, "a"), "new");
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "new");
  assert.equal(readFileSync(join(folder, "link"), "utf8"), "old and longer");
});

test("a symlink is replaced, not followed", async (t) => {
  const folder = useTempFolder(t);
  writeFileSync(join(folder, "target"), "untouched");
  symlinkSync("target", join(folder, "a"));
  await writeFileDurably(join(folder, "a"), "new");
  assert.equal(readFileSync(join(folder, "target"), "utf8"), "untouched");
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "new");
});

test("the mode is the one asked for, whatever the umask", (t) => {
  const folder = useTempFolder(t);
  const script = `import { writeFileDurably } from ${JSON.stringify(new URL("./durable.ts", import.meta.url).href)};
    process.umask(0o077);
    await writeFileDurably(${JSON.stringify(join(folder, "a"))}, "x", { mode: 0o644 });`;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script]);
  assert.equal(status, 0, String(stderr));
  assert.equal(statSync(join(folder, "a")).mode & 0o7777, 0o644);
});

test("a failure leaves no temporary file, and what was there stays", async (t) => {
  const folder = useTempFolder(t);
  mkdirSync(join(folder, "a"));
  writeFileSync(join(folder, "a", "inside"), "");
  await assert.rejects(writeFileDurably(join(folder, "a"), "x"), { code: "EISDIR" });
  assert.deepEqual(readdirSync(folder), ["a"]);
  await assert.rejects(writeFileDurably(join(folder, "missing", "b"), "x"), { code: "ENOENT" });
  await assert.rejects(writeFileDurably(join(folder, "n".repeat(256)), "x"), { code: "ENAMETOOLONG" });
  assert.deepEqual(readdirSync(folder), ["a"]);
});

test("a temporary file may be made elsewhere", async (t) => {
  const folder = useTempFolder(t);
  const temporaryFolder = join(folder, "tmp");
  await assert.rejects(writeFileDurably(join(folder, "a"), "x", { temporaryFolder }), { code: "ENOENT" });
  mkdirSync(temporaryFolder);
  await writeFileDurably(join(folder, "a"), "x", { temporaryFolder });
  await assert.rejects(writeFileDurably(temporaryFolder, "x", { temporaryFolder }), { code: "ENOTEMPTY" });
  assert.deepEqual(readdirSync(temporaryFolder), []);
});

test("a draft becomes the file, or goes; one that is over is not used again", async (t) => {
  const folder = useTempFolder(t);
  const [draft, unused] = [await FileDraft.open(folder, true), await FileDraft.open(folder, true)];
  assert.equal(readdirSync(folder).length, 2);
  await writeFileDurably(join(folder, "a"), "one", { draft });
  await draft.discard();
  await unused.discard();
  await writeFileDurably(join(folder, "b"), "two", { draft });
  await writeFileDurably(join(folder, "c"), "three", { draft: unused });
  const contents = readdirSync(folder).map((name) => `${name} ${readFileSync(join(folder, name), "utf8")}`);
  assert.deepEqual(contents, ["a one", "b two", "c three"]);
  assert.equal(statSync(join(folder, "a")).mode & 0o7777, 0o600);
});

test("a draft that was filled becomes a file with just that content, and no other one", async (t) => {
  const folder = useTempFolder(t);
  const drafts = await Promise.all(Array.from({ length: 4 }, () => FileDraft.open(folder, true)));
  for (const draft of drafts) draft.fill("filled");
  const [same, other, otherMode, unused] = drafts;
  await writeFileDurably(join(folder, "a"), "filled", { draft: same });
  await writeFileDurably(join(folder, "b"), "other", { draft: other });
  await writeFileDurably(join(folder, "c"), "filled", { draft: otherMode, mode: 0o640 });
  assert.deepEqual(
    [same, other, otherMode, unused].map((draft) => draft?.fits("filled", 0o600)),
    [false, true, true, true],
  );
  for (const draft of drafts) await draft.discard();
  const contents = readdirSync(folder).map((name) => `${name} ${readFileSync(join(folder, name), "utf8")}`);
  assert.deepEqual(contents, ["a filled", "b other", "c filled"]);
  assert.equal(statSync(join(folder, "c")).mode & 0o7777, 0o640);
});

test("writers at once leave one of their contents, whole", async (t) => {
  const path = join(useTempFolder(t), "a");
  const contents = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
  await Promise.all(contents.map((content) => writeFileDurably(path, content)));
  assert.ok(contents.includes(readFileSync(path, "utf8")));
});

test("a folder is synced; what is none is an error", async (t) => {
  const folder = useTempFolder(t);
  await syncFolder(folder);
  await assert.rejects(syncFolder(join(folder, "missing")), { code: "ENOENT" });
});
