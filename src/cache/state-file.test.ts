import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { watchDisk } from "../../test/helpers/disk-calls.ts";
import { useLog } from "../../test/helpers/log-lines.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { DriverError } from "../base/index.ts";
import { numberAt, StateFiles, textAt } from "./state-file.ts";

function useStateFiles(t: TestContext, corrupt: "move" | "leave" = "move") {
  const folder = useTempFolder(t);
  const tmp = join(folder, "tmp");
  mkdirSync(tmp);
  const { log, lines } = useLog();
  const corruptFolder = corrupt === "move" ? tmp : undefined;
  const state = new StateFiles({ temporaryFolder: tmp, corruptFolder, isDurable: true, log });
  return { state, lines, tmp, folder, path: join(folder, "state.json") };
}

const nameOf = (value: Parameters<typeof textAt>[0]) => textAt(value, "name");

test("what is written is read, unknown keys and all", async (t) => {
  const { state, path, lines } = useStateFiles(t);
  await state.write(path, { name: "ü\n\0", newer: { of: [1] } });
  assert.equal(await state.read(path, nameOf), "ü\n\0");
  assert.deepEqual(await state.read(path, (value) => value), { name: "ü\n\0", newer: { of: [1] } });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(lines, []);
});

test("what is not there is undefined, without a word", async (t) => {
  const { state, folder, lines } = useStateFiles(t);
  assert.equal(await state.read(join(folder, "no", "such", "file"), nameOf), undefined);
  assert.deepEqual(lines, []);
});

test("what cannot be read for another reason is an error, not absent", async (t) => {
  const { state, path } = useStateFiles(t);
  symlinkSync(path, path);
  await assert.rejects(state.read(join(path, "below"), nameOf), { code: "ELOOP" });
});

test("a link that is where a state file must be is not followed: it is reported and moved aside", async (t) => {
  const { state, path, lines } = useStateFiles(t);
  symlinkSync("/dev/zero", path);
  assert.equal(await state.read(path, nameOf), undefined);
  assert.deepEqual([lines.length, lines[0]?.["reason"]], [1, "it is no file"]);
  assert.equal(await state.read(path, nameOf), undefined);
});

test("a folder that is where a state file must be is reported and moved aside", async (t) => {
  const { state, path, lines, tmp } = useStateFiles(t);
  mkdirSync(join(path, "sub"), { recursive: true });
  assert.equal(await state.read(path, nameOf), undefined);
  assert.deepEqual([lines.length, lines[0]?.["level"], lines[0]?.["reason"]], [1, "error", "it is a folder"]);
  assert.deepEqual(readdirSync(join(tmp, String(readdirSync(tmp)[0]))), ["sub"]);
  await state.write(path, { name: "anew" });
  assert.equal(await state.read(path, nameOf), "anew");
});

const corruptFiles: [name: string, content: string | Buffer, reason: RegExp][] = [
  ["an empty file, as a power cut leaves it", "", /JSON/],
  ["zeros", Buffer.alloc(4096), /JSON/],
  ["half a file", '{"name": "x', /JSON/],
  ["a list", "[]", /it is no JSON object/],
  ["null", "null", /it is no JSON object/],
  ["a value of another type", '{"name": 1}', /name is no text/],
  ["a value that is missing", "{}", /name is no text/],
  ["a value that all objects have", '{"__proto__": {"name": "x"}}', /name is no text/],
];
for (const [name, content, reason] of corruptFiles) {
  test(`a corrupt file is reported and moved aside: ${name}`, async (t) => {
    const { state, path, lines, tmp } = useStateFiles(t);
    writeFileSync(path, content);
    assert.equal(await state.read(path, nameOf), undefined);
    const [kept] = readdirSync(tmp);
    assert.match(kept ?? "", /^corrupt-.*-state\.json$/);
    assert.deepEqual(readFileSync(join(tmp, kept ?? "")), Buffer.from(content));
    assert.equal(lines.length, 1);
    const { level, path: told, kept: keptAs, reason: why } = lines[0] ?? {};
    assert.deepEqual([level, told, keptAs], ["error", path, join(tmp, kept ?? "")]);
    assert.match(String(why), reason);
    assert.equal(await state.read(path, nameOf), undefined);
    await state.write(path, { name: "anew" });
    assert.equal(await state.read(path, nameOf), "anew");
    assert.equal(lines.length, 1);
  });
}

test("what the parser throws makes a file corrupt, whatever it is", async (t) => {
  const { state, path, lines } = useStateFiles(t);
  await state.write(path, {});
  const refuse = () => {
    throw new DriverError("refused", "no such digest");
  };
  assert.equal(await state.read(path, refuse), undefined);
  assert.equal(lines[0]?.["reason"], "no such digest");
});

test("many who read a corrupt file at once are all told that there is none", async (t) => {
  const { state, path, tmp } = useStateFiles(t);
  writeFileSync(path, "{");
  const values = await Promise.all(Array.from({ length: 20 }, () => state.read(path, nameOf)));
  assert.deepEqual(new Set(values), new Set([undefined]));
  assert.equal(readdirSync(tmp).length, 1);
});

test("corrupt files can be left where they are", async (t) => {
  const { state, path, lines, tmp } = useStateFiles(t, "leave");
  writeFileSync(path, "{");
  assert.equal(await state.read(path, nameOf), undefined);
  assert.equal(readFileSync(path, "utf8"), "{");
  assert.deepEqual(readdirSync(tmp), []);
  assert.deepEqual([lines[0]?.["level"], lines[0]?.["reason"] !== undefined], ["error", true]);
});

test("a file is visible once its bytes are durable", async (t) => {
  const { state, path, folder } = useStateFiles(t);
  const disk = watchDisk(t, folder);
  await state.write(path, { name: "x" });
  assert.deepEqual(disk.calls, [
    "create tmp/.*.tmp",
    "sync tmp/.*.tmp",
    "rename tmp/.*.tmp -> state.json",
    `sync ${folder}`,
  ]);
});

for (let step = 0; step < 4; step++) {
  test(`a kill at step ${step} of a write leaves the old file or the new one`, async (t) => {
    const { state, path, folder } = useStateFiles(t);
    await state.write(path, { name: "old" });
    const disk = watchDisk(t, folder, step);
    await assert.rejects(state.write(path, { name: "new" }), /killed/);
    disk.stop();
    assert.equal(await state.read(path, nameOf), step < 3 ? "old" : "new");
    assert.deepEqual(readdirSync(folder), ["state.json", "tmp"]);
  });
}

test("texts and numbers of a state file", () => {
  const value = JSON.parse('{"a": "", "b": 0, "c": -1.5, "d": null, "e": true, "f": 1e999}') as Record<string, unknown>;
  assert.deepEqual([textAt(value, "a"), numberAt(value, "b"), numberAt(value, "c")], ["", 0, -1.5]);
  for (const key of ["b", "d", "e", "z", "constructor"]) assert.throws(() => textAt(value, key), /is no text/);
  for (const key of ["a", "d", "e", "f", "z"]) assert.throws(() => numberAt(value, key), /is no number/);
});
