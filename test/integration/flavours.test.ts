import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createGrpcJsClient, type Flavour, Sandbox, whyNoFlavour, whyNoMounts } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import {
  abortedWithProgress,
  assertBlobsWhole,
  assertNothingLeft,
  attributes,
  pushThing,
  rejectsWith,
  textFiles,
} from "./support.ts";

const FLAVOURS: readonly Flavour[] = ["executable", "node", "tsx", "deno"];

for (const flavour of FLAVOURS) {
  describe(`the driver as ${flavour}`, { skip: whyNoMounts() || whyNoFlavour(flavour) }, () => {
    test("the main job: pulled, verified, shared, read-only, writable, gone", async () => {
      await using registry = await EmbeddedRegistry.start();
      const content = randomBytes(2_000_000);
      // Two layers in one folder: the second one finds it made.
      const layers = [
        fileLayer("big", content),
        await folderLayer("conf", { "a/b": "b\n" }),
        ...["conf/c", "conf/d"].map((title) => fileLayer(title, title)),
      ];
      const reference = await pushThing(registry, artifact(layers));
      await using sandbox = await Sandbox.start({ flavour, connect: createGrpcJsClient });
      const asked = attributes(reference);
      const [first, second] = [1, 2].map(() => sandbox.kubelet.volume({ attributes: asked }));
      const writable = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
      assert.ok(first && second);
      registry.log.clear();
      for (const volume of [first, second, writable]) await volume.publish();
      for (const { digest } of layers) assert.equal(registry.log.blobGets(digest).length, 1);
      for (const { targetPath } of [first, second, writable]) {
        assert.deepEqual(await readFile(join(targetPath, "big")), content);
        assert.equal(await readFile(join(targetPath, "conf/a/b"), "utf8"), "b\n");
      }
      assert.deepEqual(await second.health(), []);

      await sandbox.driver.stop("SIGKILL");
      const before = sandbox.mounts();
      const next = await sandbox.startDriver();
      await first.publish();
      assert.deepEqual(sandbox.mounts(), before);
      for (const volume of [first, second, writable]) await volume.unpublish();
      await assertNothingLeft(sandbox);
      assert.deepEqual(await next.stop("SIGTERM"), { code: 0, signal: null });
    });

    test("what goes wrong: progress at the deadline, wrong bytes, a kill in mid-pull", async () => {
      await using registry = await EmbeddedRegistry.start();
      const content = randomBytes(2_000_000);
      const folder = await folderLayer("folder", { big: content });
      const reference = await pushThing(registry, artifact([folder]));
      const gate = Promise.withResolvers<void>();
      registry.fault = ({ method, path }) =>
        method === "GET" && path.includes("/blobs/")
          ? { kind: "hold", afterBytes: 1_000_000, until: gate.promise }
          : undefined;
      await using sandbox = await Sandbox.start({ flavour });
      const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
      await abortedWithProgress(() => volume.publish({ timeoutMs: 5_000 }));
      await sandbox.driver.stop("SIGKILL");
      gate.resolve();
      await sandbox.startDriver();
      registry.fault = ({ path }) => (path.includes("/blobs/") ? { kind: "corrupt" } : undefined);
      await rejectsWith(volume.publish(), "DATA_LOSS");
      registry.fault = undefined;
      await volume.publish();
      assert.deepEqual(Object.keys(await textFiles(volume.targetPath)), ["folder/big"]);
      await volume.unpublish();
      await assertBlobsWhole(sandbox);
      await assertNothingLeft(sandbox);
    });
  });
}
