import assert from "node:assert/strict";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Libc } from "../base/index.ts";
import { createMounter } from "./create-mounter.ts";
import { defaultMountFlags } from "./mount-flags.ts";

/** A libc whose calls that change something all fail, and tell their names. */
function failingLibc(code: string): { libc: Libc; calls: string[] } {
  const calls: string[] = [];
  const fail = (syscall: string) => async () => {
    calls.push(syscall);
    throw Object.assign(new Error(`${syscall}: failed`), { code, errno: 0, syscall });
  };
  const looks: Partial<Libc> = { mountOf: () => undefined };
  const libc = new Proxy(looks as Libc, { get: (_, name) => Reflect.get(looks, name) ?? fail(String(name)) });
  return { libc, calls };
}

const bindOptions = { source: "/", target: "/", readOnly: true, flags: defaultMountFlags };
const overlayOptions = { lower: "/", upper: "/", work: "/", target: "/", flags: defaultMountFlags };

for (const kernelRelease of ["5.12.0", "5.15.0-91-generic", "6.1.0-13-amd64", "10.0"]) {
  test(`Linux ${kernelRelease} mounts by open_tree`, async () => {
    const { libc, calls } = failingLibc("EPERM");
    const mounter = createMounter({ libc, kernelRelease, stagingFolder: "/proc" });
    await assert.rejects(mounter.bind(bindOptions), { kind: "refused", message: /privileged/ });
    assert.deepEqual(calls, ["openTree"]);
  });
}

for (const kernelRelease of ["4.18.0-553.el8_10.x86_64", "5.4.0", "5.11.22"]) {
  test(`Linux ${kernelRelease} does not`, async () => {
    const { libc, calls } = failingLibc("EPERM");
    const stagingFolder = mkdtempSync(join(tmpdir(), "oras-csi-staging-"));
    const mounter = createMounter({ libc, kernelRelease, stagingFolder });
    await assert.rejects(mounter.bind(bindOptions), { kind: "refused", message: /privileged/ });
    assert.deepEqual(calls, ["mount"]);
    rmdirSync(stagingFolder);
  });
}

for (const kernelRelease of ["4.17.19", "3.10.0-1160.el7", "", "unknown"]) {
  test(`a kernel "${kernelRelease}" is refused with one line`, () => {
    const { libc } = failingLibc("EPERM");
    assert.throws(() => createMounter({ libc, kernelRelease, stagingFolder: "/x" }), {
      kind: "refused",
      message: /^the node's kernel is .*: Linux 4\.18 or later is needed$/,
    });
  });
}

const failures: { code: string; kind: string; says: RegExp }[] = [
  { code: "ENOSPC", kind: "no-space", says: /mount limit.*fs\.mount-max/ },
  { code: "EPERM", kind: "refused", says: /privileged/ },
  { code: "ENOSYS", kind: "refused", says: /seccomp/ },
  { code: "ENOMEM", kind: "unavailable", says: /memory/ },
  { code: "EXDEV", kind: "internal", says: /failed$/ },
];
for (const { code, kind, says } of failures) {
  test(`${code} of the kernel gives ${kind}`, async () => {
    const { libc } = failingLibc(code);
    const mounter = createMounter({ libc, kernelRelease: "6.1.0", stagingFolder: "/x" });
    await assert.rejects(mounter.bind(bindOptions), { kind, message: says });
    await assert.rejects(mounter.overlay(overlayOptions), { kind, message: says });
    await assert.rejects(mounter.unmount("/", "plain"), { kind, message: says });
  });
}

test("a kernel without overlay says what to do", async () => {
  const { libc } = failingLibc("ENODEV");
  const mounter = createMounter({ libc, kernelRelease: "6.1.0", stagingFolder: "/x" });
  await assert.rejects(mounter.overlay(overlayOptions), { kind: "refused", message: /set readOnly: true/ });
});
