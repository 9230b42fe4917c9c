import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { labelNewFiles } from "./label-new-files.ts";

// SELinux is off wherever these tests are known to run: a folder stands in for /proc, and the kernel's own answer is
// seen only as far as a kernel without SELinux gives one.

const LABEL = "system_u:object_r:container_file_t:s0";
const OWN = "/proc/thread-self/attr/fscreate";

function fakeProc(folder: string, fileSystems: string): string {
  const attributes = join(folder, "thread-self/attr");
  mkdirSync(attributes, { recursive: true });
  writeFileSync(join(folder, "filesystems"), fileSystems);
  writeFileSync(join(attributes, "fscreate"), "");
  return join(attributes, "fscreate");
}

test("where SELinux is on, the label is what new files are asked to get", (t) => {
  const folder = useTempFolder(t);
  const fscreate = fakeProc(folder, "nodev\tsysfs\nnodev\tselinuxfs\n\text4\n");
  assert.equal(labelNewFiles(LABEL, folder), true);
  assert.equal(readFileSync(fscreate, "utf8"), LABEL);
});

test("where SELinux is off, nothing is asked", (t) => {
  const folder = useTempFolder(t);
  const fscreate = fakeProc(folder, "nodev\tsysfs\n\text4\n");
  assert.equal(labelNewFiles(LABEL, folder), false);
  assert.equal(readFileSync(fscreate, "utf8"), "");
});

test("a kernel that has no such place, or does not take the label, is an error", (t) => {
  const folder = useTempFolder(t);
  const fscreate = fakeProc(folder, "nodev\tselinuxfs\n");
  rmSync(fscreate);
  assert.throws(() => labelNewFiles(LABEL, folder), { code: "ENOENT" });
  // This thread's own attribute: the kernel here refuses any label.
  if (labelNewFiles(LABEL) === false && existsSync(OWN)) {
    symlinkSync(OWN, fscreate);
    assert.throws(() => labelNewFiles(LABEL, folder), { code: "EINVAL" });
  }
});
