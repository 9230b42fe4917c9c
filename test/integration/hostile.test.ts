import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import {
  artifact,
  type BuiltManifest,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  layer,
  rawManifest,
  sha256Of,
  TITLE,
  tarLayer,
} from "../registry/index.ts";
import { assertBlobsWhole, assertNothingLeft, attributes, pushThing, REAL, rejectsWith, textFiles } from "./support.ts";

const good = fileLayer("good", "good\n");

/** A manifest of plain file layers with something in its document changed. */
function changed(change: (document: Record<string, unknown>) => void): BuiltManifest {
  const base = artifact([good]);
  const document = JSON.parse(base.bytes.toString()) as Record<string, unknown>;
  change(document);
  return rawManifest(document, base.blobs);
}

function tarred(...entries: TarFields[]): BuiltManifest {
  return artifact([good, tarLayer("folder", tarOf(...entries))]);
}

const folder = { name: "folder/", type: "5", mode: 0o755 };
test("what a tar may hold besides files: links are kept and never followed, devices are skipped", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const manifest = tarred(
    folder,
    { name: "folder/f", data: "f\n", mode: 0o4755 },
    { name: "folder/hard", type: "1", linkName: "folder/f" },
    { name: "folder/soft", type: "2", linkName: "/etc/passwd" },
    { name: "folder/pipe", type: "6" },
    { name: "folder/device", type: "3" },
  );
  const reference = await pushThing(registry, manifest);
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  assert.deepEqual((await readdir(join(volume.targetPath, "folder"))).sort(), ["f", "hard", "soft"]);
  assert.deepEqual(await textFiles(volume.targetPath), { good: "good\n", "folder/f": "f\n", "folder/hard": "f\n" });
});

const content = randomBytes(500_000);
const victims = {
  "a file layer": async () => fileLayer("big", content),
  "a folder layer": async () => folderLayer("folder", { big: content }),
};

for (const [what, build] of Object.entries(victims)) {
  test(
    `wrong bytes of ${what} are DATA_LOSS after one more try, and the next publish gets good ones`,
    REAL,
    async () => {
      await using registry = await EmbeddedRegistry.start();
      const victim = await build();
      const reference = await pushThing(registry, artifact([good, victim]));
      const wrong = Buffer.from(victim.bytes);
      wrong[wrong.length - 100] = (wrong[wrong.length - 100] ?? 0) ^ 1;
      registry.content.putBlob("team/thing", victim.digest, wrong);
      await using sandbox = await Sandbox.start();
      registry.log.clear();
      const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
      await rejectsWith(volume.publish(), "DATA_LOSS", new RegExp(victim.digest.slice(0, 15)));
      assert.equal(registry.log.blobGets(victim.digest).length, 2);
      await assertNothingLeft(sandbox);
      await assertBlobsWhole(sandbox);

      registry.content.putBlob("team/thing", victim.digest, victim.bytes);
      await volume.publish();
      assert.equal(Object.keys(await textFiles(volume.targetPath)).length, 2);
    },
  );
}

test("a transfer that is wrong once is put right unseen", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const victim = fileLayer("big", content);
  const reference = await pushThing(registry, artifact([victim]));
  let faults = 0;
  registry.fault = ({ path }) => {
    if (!path.endsWith(victim.digest) || faults > 0) return undefined;
    faults += 1;
    return { kind: "corrupt" };
  };
  await using sandbox = await Sandbox.start();
  await sandbox.kubelet.volume({ attributes: attributes(reference) }).publish();
  assert.equal(faults, 1);
  await assertBlobsWhole(sandbox);
});

test("a manifest with wrong bytes, and a layer of another size than was said, are DATA_LOSS", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([good]));
  registry.fault = ({ path }) => (path.includes("/manifests/") ? { kind: "corrupt" } : undefined);
  await using sandbox = await Sandbox.start();
  const { digest } = artifact([good]);
  const pinned = sandbox.kubelet.volume({ attributes: attributes(`${reference}@${digest}`) });
  await rejectsWith(pinned.publish(), "DATA_LOSS");

  registry.fault = undefined;
  for (const size of [good.bytes.length - 1, good.bytes.length + 1]) {
    const lying = changed((document) => {
      document.layers = [{ mediaType: "a/b", digest: good.digest, size, annotations: { [TITLE]: "good" } }];
    });
    const volume = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, lying, `s${size}`)) });
    await rejectsWith(volume.publish(), "DATA_LOSS");
  }
  await assertNothingLeft(sandbox);
});

test("connections that are cut, and answers of 500 and 429, do not fail a pull that gets better", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const victim = fileLayer("big", content);
  const reference = await pushThing(registry, artifact([victim]));
  const faults = [
    { kind: "status" as const, status: 500, body: "<html>sorry</html>" },
    { kind: "cut" as const, afterBytes: 100_000 },
    { kind: "status" as const, status: 429, headers: { "retry-after": "0" } },
  ];
  registry.fault = ({ path }) => (path.endsWith(victim.digest) ? faults.shift() : undefined);
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  assert.equal(faults.length, 0);
  await assertBlobsWhole(sandbox);
});

test(
  "a layer that the registry says is there and does not have is NOT_FOUND; the rest of the node is fine",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const lost = layer(Buffer.from("lost"), "text/plain", { [TITLE]: "lost" });
    assert.equal(lost.digest, sha256Of(lost.bytes));
    const reference = await pushThing(registry, artifact([good, lost]));
    registry.content.deleteBlob("team/thing", lost.digest);
    await using sandbox = await Sandbox.start();
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    await rejectsWith(volume.publish(), "NOT_FOUND");
    await assertNothingLeft(sandbox);
  },
);
