import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, push } from "../registry/index.ts";
import { assertNothingLeft, attributes, REAL, rejectsWith, textFiles } from "./support.ts";

const says =
  /^cannot pull 127\.0\.0\.1:\d+\/private\/thing:v1: the node's --allow-registry does not allow 127.*private\/thing/;

test("what --allow-registry does not allow is PERMISSION_DENIED before any connection", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  for (const name of ["team/thing", "private/thing"]) {
    await push(registry, name, artifact([fileLayer("a", name)]), "v1");
  }
  const flags = ["--allow-registry=ghcr.io/**", `--allow-registry=${registry.host}/team/*`];
  await using sandbox = await Sandbox.start({ flags });
  const allowed = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`) });
  await allowed.publish();
  assert.deepEqual(await textFiles(allowed.targetPath), { a: "team/thing" });

  registry.log.clear();
  for (const policy of ["IfNotPresent", "Always", "Never"]) {
    const asked = attributes(`${registry.host}/private/thing:v1`, { "options.pullpolicy": policy });
    await rejectsWith(sandbox.kubelet.volume({ attributes: asked }).publish(), "PERMISSION_DENIED", says);
  }
  assert.deepEqual(registry.log.entries, []);
  await allowed.unpublish();
  await assertNothingLeft(sandbox);
});

test("what was cached before it was forbidden is not served any more; what is mounted stays", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await push(registry, "private/thing", artifact([fileLayer("a", "a")]), "v1");
  const asked = { attributes: attributes(`${registry.host}/private/thing:v1`) };
  await using sandbox = await Sandbox.start();
  const before = sandbox.kubelet.volume(asked);
  await before.publish();
  await sandbox.driver.stop();

  registry.log.clear();
  await sandbox.startDriver([`--allow-registry=${registry.host}/team/**`]);
  await rejectsWith(sandbox.kubelet.volume(asked).publish(), "PERMISSION_DENIED", says);
  assert.deepEqual(registry.log.entries, []);
  await before.publish();
  assert.deepEqual(await textFiles(before.targetPath), { a: "a" });
  await before.unpublish();
  await assertNothingLeft(sandbox);
});
