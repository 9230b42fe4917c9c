import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { StorageProbe, tryWritingTo } from "./storage-probe.ts";

function probeOf(tryWriting: () => Promise<void>, clock = new ManualClock()): StorageProbe {
  return new StorageProbe({ dataDir: "/data", tryWriting, clock });
}

test("a folder that can be written is well, and is left as it was", async () => {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-probe-"));
  try {
    assert.deepEqual(await probeOf(() => tryWritingTo(folder)).check(), []);
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a folder that is gone cannot be written, and is well again once it is back", async () => {
  const parent = mkdtempSync(join(tmpdir(), "oras-csi-probe-"));
  try {
    let folder = join(parent, "gone");
    const probe = probeOf(() => tryWritingTo(folder));
    const [entry] = await probe.check();
    assert.deepEqual([entry?.status, entry?.reason], ["unreachable", "DataDirUnwritable"]);
    assert.match(entry?.message ?? "", /^the data dir \/data cannot be written \(ENOENT\): /);
    folder = parent;
    assert.deepEqual(await probe.check(), []);
  } finally {
    rmSync(parent, { recursive: true });
  }
});

const failures: { code: string; status: string; reason: string }[] = [
  { code: "EROFS", status: "unreachable", reason: "DataDirReadOnly" },
  { code: "EIO", status: "unreachable", reason: "DataDirUnwritable" },
  { code: "ENOSPC", status: "unreachable", reason: "DataDirFull" },
  { code: "EDQUOT", status: "unreachable", reason: "DataDirFull" },
];
for (const { code, status, reason } of failures) {
  test(`${code} is ${status}: ${reason}`, async () => {
    const probe = probeOf(() => Promise.reject(Object.assign(new Error("no"), { code })));
    const [entry, ...more] = await probe.check();
    assert.deepEqual([entry?.status, entry?.reason, more], [status, reason, []]);
    assert.ok(entry?.message.includes(`(${code})`));
  });
}

test("a disk that hangs is told after some seconds, and has one write waiting on it", async () => {
  const clock = new ManualClock();
  const tries: { resolve: () => void }[] = [];
  const probe = probeOf(() => {
    const { promise, resolve } = Promise.withResolvers<void>();
    tries.push({ resolve });
    return promise;
  }, clock);
  const reasons = async (checks: ReturnType<StorageProbe["check"]>[]) =>
    (await Promise.all(checks)).map(([one]) => one?.reason);

  const first = [probe.check(), probe.check()];
  clock.advance(4_999);
  first.push(probe.check());
  assert.equal(clock.pending, 3);
  clock.advance(1);
  assert.deepEqual(await reasons(first), ["DataDirHangs", "DataDirHangs", "DataDirHangs"]);

  const later = probe.check();
  clock.advance(0);
  const [entry] = await later;
  assert.deepEqual([entry?.status, entry?.reason], ["unreachable", "DataDirHangs"]);
  assert.equal(tries.length, 1);

  const freed = probe.check();
  tries[0]?.resolve();
  assert.deepEqual(await freed, []);
  assert.equal(clock.pending, 0);
  const again = probe.check();
  tries[1]?.resolve();
  assert.deepEqual([await again, tries.length], [[], 2]);
});
