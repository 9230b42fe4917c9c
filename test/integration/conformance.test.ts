import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createConnectClient, createGrpcJsClient, type PublishRequest, Sandbox } from "../driver/index.ts";
import { artifact, fileLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith, startRegistry } from "./support.ts";

/**
 * The sequence that csi-sanity goes through, for read-only volumes too: csi-sanity itself publishes writable ones only.
 * Like csi-sanity, it plays no kubelet: no pod info, no folder of kubelet's form.
 */
const rows = [createConnectClient, createGrpcJsClient].flatMap((connect) =>
  [true, false].map((readonly) => ({ connect, readonly })),
);

for (const { connect, readonly } of rows) {
  describe(`${readonly ? "a read-only" : "a writable"} volume, ${connect.name}`, REAL, () => {
    for (const times of [1, 10]) {
      test(`published ${times} times, asked for stats, unpublished ${times} times`, async () => {
        await using registry = await startRegistry();
        const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
        await using sandbox = await Sandbox.start();
        using client = connect(sandbox.socketPath);
        assert.notEqual(await client.nodeId(), "");
        const request: PublishRequest = {
          volumeId: "sanity-node-full",
          targetPath: join(sandbox.folder, "target"),
          readonly,
          volumeContext: attributes(reference),
        };
        const { volumeId, targetPath } = request;
        for (let time = 0; time < times; time += 1) await client.publish(request);
        assert.equal(sandbox.mounts().length, 1);
        assert.deepEqual((await client.stats(volumeId, targetPath)).map(({ unit }) => unit).sort(), [
          "BYTES",
          "INODES",
        ]);
        await rejectsWith(client.stats(volumeId, join(sandbox.folder, "elsewhere")), "NOT_FOUND");
        for (let time = 0; time < times; time += 1) await client.unpublish(volumeId, targetPath);
        assert.equal(existsSync(targetPath), false);
        await rejectsWith(client.stats(volumeId, targetPath), "NOT_FOUND");
        await assertNothingLeft(sandbox);
      });
    }

    test("published and unpublished at once, many times over", async () => {
      await using registry = await startRegistry();
      const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
      await using sandbox = await Sandbox.start();
      using client = connect(sandbox.socketPath);
      const targetPath = join(sandbox.folder, "target");
      const request: PublishRequest = { volumeId: "v", targetPath, readonly, volumeContext: attributes(reference) };
      const calls = Array.from({ length: 20 }, (_, at) =>
        at % 2 === 0 ? client.publish(request) : client.unpublish("v", targetPath),
      );
      for (const { status, reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[]) {
        // Overtaken by an unpublish: kubelet takes either for "not known", and asks again.
        if (status === "rejected") assert.match(reason.code, /^(ABORTED|CANCELED)$/, reason.message);
      }
      await client.unpublish("v", targetPath);
      assert.equal(existsSync(targetPath), false);
      await assertNothingLeft(sandbox);
    });
  });
}
