import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Driver, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { assertBlobsWhole, assertNothingLeft, attributes, pushThing, REAL, rejectsWith, textFiles } from "./support.ts";

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test(`volumes outlive the driver (${signal}); a republish is a no-op, an unpublish works`, REAL, async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
    await using sandbox = await Sandbox.start();
    const [kept, dropped, writable] = [true, true, false].map((readOnly) =>
      sandbox.kubelet.volume({ attributes: attributes(reference), readOnly }),
    );
    assert.ok(kept && dropped && writable);
    for (const volume of [kept, dropped, writable]) await volume.publish();
    const before = sandbox.mounts();

    const exit = await sandbox.driver.stop(signal);
    if (signal === "SIGTERM") assert.deepEqual(exit, { code: 0, signal: null });
    assert.deepEqual(sandbox.mounts(), before, "the driver's end must not touch mounts");
    assert.equal(existsSync(sandbox.socketPath), signal === "SIGKILL", "SIGTERM removes the socket");
    assert.deepEqual(await textFiles(kept.targetPath), { a: "a\n" });

    const restarted = await sandbox.startDriver();
    await registry.close();
    await kept.publish();
    await writable.publish();
    assert.deepEqual(sandbox.mounts(), before, "a republish must not mount again");
    for (const volume of [dropped, kept, writable]) await volume.unpublish();
    await restarted.stop();
    assert.match(restarted.output, /"level":"info".*"NodeUnpublishVolume"/);
    assert.doesNotMatch(restarted.output, /"level":"info".*"NodePublishVolume"/, "a no-op is no news");
    await assertNothingLeft(sandbox);
  });
}

for (const at of ["file layer", "folder layer"] as const) {
  test(`killed in mid-pull of a ${at}: nothing half-made is served, the next publish is right`, REAL, async () => {
    await using registry = await EmbeddedRegistry.start();
    const content = randomBytes(4_000_000);
    const layer = at === "file layer" ? fileLayer("big", content) : await folderLayer("folder", { big: content });
    const reference = await pushThing(registry, artifact([fileLayer("small", "s\n"), layer]));
    const forever = new Promise<void>(() => undefined);
    registry.fault = ({ path }) =>
      path.endsWith(layer.digest) ? { kind: "hold", afterBytes: 2_000_000, until: forever } : undefined;
    await using sandbox = await Sandbox.start();
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    const interrupted = volume.publish();
    interrupted.catch(() => undefined);
    await registry.log.waitFor(({ bytesSent }) => bytesSent === 2_000_000);
    await sandbox.driver.stop("SIGKILL");
    await assert.rejects(interrupted);
    assert.deepEqual(sandbox.mounts(), []);

    registry.fault = undefined;
    await sandbox.startDriver();
    await assertBlobsWhole(sandbox);
    await volume.publish();
    const where = at === "file layer" ? "big" : "folder/big";
    assert.deepEqual(await readFile(join(volume.targetPath, where)), content);
    await volume.unpublish();
    await assertNothingLeft(sandbox);
  });
}

test("a second driver on the same data dir gives up and says why; the first one is not disturbed", REAL, async () => {
  await using sandbox = await Sandbox.start();
  const second = sandbox.launchDriver({ socketPath: join(sandbox.folder, "other.sock") });
  const exit = await second.exited;
  assert.notEqual(exit.code, 0);
  assertReason(second, sandbox.dataDir);
  await sandbox.driver.ready();
});

test("a second driver on the same socket gives up and says why; the first one is not disturbed", REAL, async () => {
  await using sandbox = await Sandbox.start();
  const second = sandbox.launchDriver({ dataDir: join(sandbox.folder, "other-data") });
  const exit = await second.exited;
  assert.notEqual(exit.code, 0);
  assertReason(second, sandbox.socketPath);
  await sandbox.driver.ready();
});

test("a driver that starts while the old one ends takes over, and keeps its socket", REAL, async () => {
  await using sandbox = await Sandbox.start();
  const next = sandbox.launchDriver();
  await sandbox.driver.stop("SIGTERM");
  await next.ready();
  assert.equal(existsSync(sandbox.socketPath), true);
});

test("a stale socket of a killed driver is no obstacle", REAL, async () => {
  await using sandbox = await Sandbox.start();
  await sandbox.driver.stop("SIGKILL");
  assert.equal(existsSync(sandbox.socketPath), true);
  await sandbox.startDriver();
});

test("a call in flight ends before the driver does", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ path }) =>
    path.includes("/blobs/") ? { kind: "hold", afterBytes: 1, until: gate.promise } : undefined;
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  const published = volume.publish();
  await registry.log.waitFor(({ bytesSent }) => bytesSent === 1);
  const stopped = sandbox.driver.stop("SIGTERM");
  gate.resolve();
  // Either is right: done in time, or told to come back; what must not be is a cut connection.
  const code = await published.then(
    () => "OK",
    (reason) => reason.code,
  );
  assert.ok(code === "OK" || code === "ABORTED", code);
  assert.equal((await stopped).code, 0);
  await sandbox.startDriver();
  await volume.publish();
  assert.deepEqual(await textFiles(volume.targetPath), { a: "a\n" });
});

test("a broken reference fails the same way after a restart", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:none`) });
  const first = await rejectsWith(volume.publish(), "NOT_FOUND", /none/);
  await assertNothingLeft(sandbox);
  await sandbox.driver.stop("SIGTERM");
  await sandbox.startDriver();
  const second = await rejectsWith(volume.publish(), "NOT_FOUND");
  assert.equal(second.message, first.message, "the same failure must have the same text");
});

/** The last thing that a driver said is why it did not start. */
function assertReason(driver: Driver, path: string): void {
  const last = driver.output.trim().split("\n").at(-1) ?? "";
  assert.ok(last.includes(path), driver.output);
  assert.doesNotMatch(last, /"level":"info"/, "waiting is not the last word");
}
