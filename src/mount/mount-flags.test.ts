import assert from "node:assert/strict";
import { test } from "node:test";
import { attributesFromFlags, defaultMountFlags, mountCallFlags, parseMountFlags } from "./mount-flags.ts";

const accepted: { flags: string[]; is: object; readOnly?: boolean }[] = [
  { flags: [], is: {} },
  { flags: [""], is: {} },
  { flags: ["defaults", "bind", "nosuid", "nodev", "async", "exec", "diratime", "atime"], is: {} },
  { flags: ["ro"], is: {}, readOnly: true },
  { flags: ["ro", "rw"], is: {} },
  { flags: ["noexec", "noatime", "nodiratime"], is: { noexec: true, accessTimes: "noatime", nodiratime: true } },
  { flags: [" ro, noexec "], is: { noexec: true }, readOnly: true },
  { flags: ["noexec", "exec", "noatime", "strictatime"], is: { accessTimes: "strictatime" } },
  { flags: ["relatime"], is: { accessTimes: "relatime" } },
];
for (const { flags, is, readOnly = false } of accepted) {
  test(`mount flags ${JSON.stringify(flags)}`, () => {
    assert.deepEqual(parseMountFlags(flags), { flags: { ...defaultMountFlags, ...is }, readOnly });
  });
}

test("all unknown mount flags are named, values are not", () => {
  assert.throws(() => parseMountFlags(["ro", "suid", "password=hidden", "sync", "RO"]), {
    kind: "bad-input",
    message: /^unknown mount flags suid, password=, sync, RO: allowed are ro, rw, noexec, /,
  });
});

test("the numbers of both kernel interfaces", () => {
  assert.deepEqual(attributesFromFlags(defaultMountFlags, true), { set: 0x7, clear: 0 });
  assert.deepEqual(attributesFromFlags({ noexec: true, accessTimes: "noatime", nodiratime: true }, false), {
    set: 0x2 | 0x4 | 0x8 | 0x10 | 0x80,
    clear: 0x70,
  });
  assert.deepEqual(attributesFromFlags({ ...defaultMountFlags, accessTimes: "relatime" }, false), {
    set: 0x6,
    clear: 0x70,
  });
  assert.equal(mountCallFlags(defaultMountFlags, true), 7);
  assert.equal(mountCallFlags({ noexec: true, accessTimes: "noatime", nodiratime: true }, false), 14 | 1024 | 2048);
});
