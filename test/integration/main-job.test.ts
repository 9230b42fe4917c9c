import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createConnectClient, createGrpcJsClient, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, startRegistry, textFiles } from "./support.ts";

const big = fileLayer("data/big.bin", randomBytes(3_000_000), "application/vnd.test.weights");
const hello = fileLayer("hello.txt", "hello\n", "text/plain");

for (const connect of [createConnectClient, createGrpcJsClient]) {
  test(`two pods share one download, read-only (${connect.name})`, REAL, async () => {
    await using registry = await EmbeddedRegistry.start();
    const folder = await folderLayer("conf", { "app.ini": "a=1\n", "deep/er/x": "x" });
    const layers = [big, hello, folder];
    const reference = await pushThing(registry, artifact(layers));
    await using sandbox = await Sandbox.start({ connect });
    registry.log.clear();
    const [first, second] = [1, 2].map(() => sandbox.kubelet.volume({ attributes: attributes(reference) }));
    assert.ok(first && second);

    await first.publish();
    for (const { digest } of layers) assert.equal(registry.log.blobGets(digest).length, 1);
    assert.deepEqual(await readFile(join(first.targetPath, "data/big.bin")), big.bytes);
    const { "data/big.bin": _, ...small } = await textFiles(first.targetPath);
    assert.deepEqual(small, { "hello.txt": "hello\n", "conf/app.ini": "a=1\n", "conf/deep/er/x": "x" });

    registry.log.clear();
    await second.publish();
    assert.deepEqual(registry.log.entries, [], "the second pod's volume needs nothing of the registry");
    const inodes = [first, second].map(async ({ targetPath }) => (await stat(join(targetPath, "hello.txt"))).ino);
    assert.equal(await inodes[0], await inodes[1]);

    for (const { targetPath } of [first, second]) {
      const [mount, ...more] = sandbox.mounts().filter(({ target }) => target === targetPath);
      assert.deepEqual(more, []);
      for (const option of ["ro", "nosuid", "nodev"]) assert.ok(mount?.options.includes(option), option);
      assert.throws(() => writeFileSync(join(targetPath, "hello.txt"), "mine"), { code: "EROFS" });
    }

    await first.unpublish();
    assert.equal(await readFile(join(second.targetPath, "hello.txt"), "utf8"), "hello\n");
    await second.unpublish();
    assert.equal(existsSync(second.targetPath), false);
    await assertNothingLeft(sandbox);
  });
}

test("an artifact from Debian's registry, by tag and by digest", REAL, async (t) => {
  await using registry = await startRegistry();
  t.diagnostic(`the registry is ${registry.constructor.name}`);
  const manifest = artifact([hello, await folderLayer(".", { "top.txt": "top\n" })]);
  const reference = await pushThing(registry, manifest);
  await using sandbox = await Sandbox.start();
  for (const named of [reference, `oras://${registry.host}/team/thing@${manifest.digest}`]) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(named) });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), { "hello.txt": "hello\n", "top.txt": "top\n" });
    await volume.unpublish();
  }
  await assertNothingLeft(sandbox);
});

test("publishing again is a no-op, whatever the registry is doing", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([hello]));
  await using sandbox = await Sandbox.start();
  const always = attributes(reference, { "options.pullpolicy": "Always" });
  const volume = sandbox.kubelet.volume({ attributes: always });
  await volume.publish();
  await registry.close();
  const before = sandbox.mounts();
  await volume.publish();
  await volume.publish();
  assert.deepEqual(sandbox.mounts(), before);
  await volume.unpublish();
  await volume.unpublish();
  await assertNothingLeft(sandbox);
});

test("volumes that start at once share one pull", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([big, hello]));
  await using sandbox = await Sandbox.start();
  registry.log.clear();
  const volumes = Array.from({ length: 8 }, () => sandbox.kubelet.volume({ attributes: attributes(reference) }));
  await Promise.all(volumes.map((volume) => volume.publish()));
  assert.equal(registry.log.blobGets(big.digest).length, 1);
  for (const { targetPath } of volumes) {
    assert.deepEqual(await readFile(join(targetPath, "data/big.bin")), big.bytes);
  }
  await Promise.all(volumes.map((volume) => volume.unpublish()));
  await assertNothingLeft(sandbox);
});

test("artifacts with a layer in common fetch and keep it once", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const one = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, artifact([big]))) });
  await one.publish();
  const other = fileLayer("other.txt", "other\n");
  const two = sandbox.kubelet.volume({
    attributes: attributes(await pushThing(registry, artifact([big, other]), "v2")),
  });
  await two.publish();
  assert.equal(registry.log.blobGets(big.digest).length, 1);
  const [a, b] = await Promise.all([one, two].map(({ targetPath }) => stat(join(targetPath, "data/big.bin"))));
  assert.equal(a?.ino, b?.ino);
});
