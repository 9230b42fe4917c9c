import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { readFileItself } from "./read-file-itself.ts";

test("a file is read, and nothing that is in its place", async (t) => {
  const folder = useTempFolder(t);
  const at = (name: string) => join(folder, name);
  writeFileSync(at("file"), "bytes");
  writeFileSync(at("empty"), "");
  mkdirSync(at("folder"));
  symlinkSync("file", at("link"));
  symlinkSync("/dev/zero", at("endless"));
  execFileSync("mkfifo", [at("fifo")]);
  assert.equal(String(await readFileItself(at("file"))), "bytes");
  assert.equal(String(await readFileItself(at("empty"))), "");
  assert.equal(await readFileItself(at("none")), undefined);
  assert.equal(await readFileItself(at("file/below")), undefined);
  const refused = { folder: "it is a folder", link: "it is no file", endless: "it is no file", fifo: "it is no file" };
  for (const [name, message] of Object.entries(refused))
    await assert.rejects(readFileItself(at(name)), { name: "DriverError", kind: "corrupt", message }, name);
});
