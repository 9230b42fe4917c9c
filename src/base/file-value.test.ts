import assert from "node:assert/strict";
import { chmodSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { useLog } from "../../test/helpers/log-lines.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { FileValue } from "./file-value.ts";

function useFileValue(t: TestContext, name = "file") {
  const folder = useTempFolder(t);
  const path = join(folder, name);
  const { log, lines } = useLog();
  const parsed: string[] = [];
  const parse = (text: string) => {
    parsed.push(text);
    return JSON.parse(text) as unknown;
  };
  return { folder, path, value: new FileValue({ path, parse, log }), parsed, lines };
}

test("it is parsed once while the file stays the same", async (t) => {
  const { path, value, parsed, lines } = useFileValue(t);
  writeFileSync(path, "1");
  assert.equal(await value.get(), 1);
  assert.equal(await value.get(), 1);
  assert.deepEqual([parsed, lines], [["1"], []]);
});

test("a file that never was there is an error each time, until it is", async (t) => {
  const { path, value, lines } = useFileValue(t);
  await assert.rejects(value.get(), { code: "ENOENT" });
  await assert.rejects(value.get(), { code: "ENOENT" });
  writeFileSync(path, "not JSON");
  await assert.rejects(value.get(), SyntaxError);
  writeFileSync(path, '"there"');
  assert.equal(await value.get(), "there");
  assert.deepEqual(lines, []);
});

test("another file in its place, of the same size and time, is seen", async (t) => {
  const { folder, path, value } = useFileValue(t);
  writeFileSync(path, "1");
  assert.equal(await value.get(), 1);
  const { atime, mtime } = statSync(path);
  writeFileSync(join(folder, "new"), "2");
  utimesSync(join(folder, "new"), atime, mtime);
  renameSync(join(folder, "new"), path);
  assert.equal(await value.get(), 2);
});

test("a change in place that keeps size and time is seen", async (t) => {
  const { path, value } = useFileValue(t);
  writeFileSync(path, "1");
  utimesSync(path, 1000, 1000);
  assert.equal(await value.get(), 1);
  writeFileSync(path, "2");
  utimesSync(path, 1000, 1000);
  assert.equal(await value.get(), 2);
});

test("a swap of a parent link, as kubelet does it, is seen", async (t) => {
  const { folder, value } = useFileValue(t, "..data/file");
  for (const version of ["1", "2"]) {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, "file"), version);
    symlinkSync(version, join(folder, "new"));
    renameSync(join(folder, "new"), join(folder, "..data"));
    assert.equal(await value.get(), Number(version));
  }
});

test("a half-written file leaves the old value and one warning, and is parsed once", async (t) => {
  const { path, value, parsed, lines } = useFileValue(t);
  writeFileSync(path, '{"a":1}');
  await value.get();
  writeFileSync(path, '{"a":');
  for (let i = 0; i < 3; i++) assert.deepEqual(await value.get(), { a: 1 });
  assert.equal(parsed.length, 2);
  assert.deepEqual(
    lines.map(({ level, path: named }) => [level, named]),
    [["warn", path]],
  );
  writeFileSync(path, '{"a":2}');
  assert.deepEqual(await value.get(), { a: 2 });
  writeFileSync(path, '{"a":');
  await value.get();
  assert.equal(lines.length, 2);
});

test("a file that is gone leaves the old value and one warning, until it is back", async (t) => {
  const { path, value, lines } = useFileValue(t);
  writeFileSync(path, "1");
  await value.get();
  rmSync(path);
  assert.equal(await value.get(), 1);
  assert.equal(await value.get(), 1);
  assert.match(String(lines[0]?.["reason"]), /ENOENT/);
  assert.equal(lines.length, 1);
  writeFileSync(path, "2");
  assert.equal(await value.get(), 2);
});

test("what could not be read is tried again, though the file is the same", async (t) => {
  const { path, value } = useFileValue(t);
  writeFileSync(path, "1");
  assert.equal(await value.get(), 1);
  rmSync(path);
  mkdirSync(path);
  assert.equal(await value.get(), 1);
  rmSync(path, { recursive: true });
  writeFileSync(path, "2");
  chmodSync(path, 0o600);
  assert.equal(await value.get(), 2);
});
