import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as koffi from "koffi";
import { openLibc } from "./libc.ts";

const libc = openLibc(koffi);
const folder = mkdtempSync(join(tmpdir(), "oras-csi-libc-"));
after(() => rmSync(folder, { recursive: true }));

test("a failed call rejects with errno's name and the call", async () => {
  await assert.rejects(libc.unmount(join(folder, "missing"), 0), { code: "ENOENT", syscall: "umount2" });
  await assert.rejects(libc.openTree(join(folder, "missing"), 0), { code: "ENOENT", syscall: "open_tree" });
  await assert.rejects(libc.syncFileSystem(-1), { code: "EBADF", syscall: "syncfs" });
  assert.throws(() => libc.close(-1), { code: "EBADF", syscall: "close" });
});

test("text with a NUL byte is refused, not cut", async () => {
  await assert.rejects(libc.unmount(`${folder}\0/more`, 0), { code: "EINVAL", message: /NUL/ });
  await assert.rejects(libc.unmount(Buffer.from(`${folder}\0`), 0), { code: "EINVAL", message: /NUL/ });
  await assert.rejects(libc.mount({ target: folder, flags: 0, data: "a\0b" }), { code: "EINVAL", message: /NUL/ });
  await assert.rejects(libc.openTree("a\0b", 0), { code: "EINVAL", message: /NUL/ });
});

test("each of many calls at once gets its own errno", async () => {
  const calls = Array.from({ length: 5000 }, (_, i) =>
    i % 2 === 0 ? libc.unmount(join(folder, "missing"), 0) : libc.syncFileSystem(-1),
  );
  const outcomes = await Promise.allSettled(calls);
  const codes = outcomes.map((o) => (o.status === "rejected" ? (o.reason as { code: string }).code : "none"));
  assert.deepEqual(
    codes,
    calls.map((_, i) => (i % 2 === 0 ? "ENOENT" : "EBADF")),
  );
});

test("memory that is free goes back to the system", async () => {
  libc.giveLargeBlocksBack();
  await libc.trimMemory();
});

test("a lock belongs to one open file at a time", () => {
  const path = join(folder, "lock");
  const first = openSync(path, "w");
  const second = openSync(path, "w");
  try {
    assert.equal(libc.tryLock(first), true);
    assert.equal(libc.tryLock(second), false);
    libc.unlock(first);
    assert.equal(libc.tryLock(second), true);
    assert.equal(libc.tryLock(first), false);
  } finally {
    closeSync(first);
    closeSync(second);
  }
  assert.throws(() => libc.tryLock(-1), { code: "EBADF", syscall: "flock" });
});

test("syncs the file system of an open file", async () => {
  const fd = openSync(folder, "r");
  try {
    await libc.syncFileSystem(fd);
  } finally {
    closeSync(fd);
  }
});

test("where a mount is, and whom it is shared with, is told as the table of mounts does", (t) => {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  if (major < 6 || (major === 6 && minor < 8)) return t.skip("Linux 6.8 or later is needed");
  for (const mountPoint of ["/proc", "/sys", "/"]) {
    const fd = openSync(mountPoint, "r");
    const [id] = /(?<=^mnt_id:\s*)\d+/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1")) ?? [];
    const line = new RegExp(`^${id} .*$`, "m").exec(readFileSync("/proc/self/mountinfo", "latin1"))?.[0] ?? "";
    const sharedGroup = /(?<= shared:)\d+/.exec(line)?.[0];
    const group = sharedGroup === undefined ? undefined : Number(sharedGroup);
    assert.deepEqual(libc.mountOf(fd), { mountId: Number(id), mountPoint, sharedGroup: group }, line);
    closeSync(fd);
  }
  assert.throws(() => libc.mountOf(-1), { code: "EBADF", syscall: "statx" });
});

test("an open file is told as node:fs tells it", () => {
  for (const path of [folder, "/proc/self", "/dev/null", "/sys"]) {
    const fd = openSync(path, "r");
    const { dev, ino } = fstatSync(fd, { bigint: true });
    assert.deepEqual(libc.identityOf(fd), { device: dev, inode: ino });
    closeSync(fd);
  }
  assert.throws(() => libc.identityOf(-1), { code: "EBADF", syscall: "statx" });
});
