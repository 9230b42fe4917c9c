import assert from "node:assert/strict";
import { createServer, type Http2Server } from "node:http2";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  Identity,
  Node,
  type NodePublishVolumeRequest,
  NodeServiceCapability_RPC_Type,
  StorageHealthErrorType,
  VolumeHealthErrorType,
  VolumeUsage_Unit,
} from "../../gen/csi/v1/csi_pb.js";
import { createConnectClient, createGrpcJsClient, CsiError } from "./index.ts";

let folder: string;
let server: Http2Server;
const published: NodePublishVolumeRequest[] = [];
const toldMs: (number | undefined)[] = [];
/** So long a publish keeps the process from all else. */
let busyMs = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "oras-csi-clients-"));
  const adapter = connectNodeAdapter({
    routes(router) {
      router.service(Identity, { probe: () => ({}), getPluginInfo: () => ({ name: "csi.test", vendorVersion: "1" }) });
      router.service(Node, {
        nodePublishVolume(request, context) {
          published.push(request);
          toldMs.push(context.timeoutMs());
          const until = performance.now() + busyMs;
          while (performance.now() < until);
          return {};
        },
        nodeUnpublishVolume() {
          throw new ConnectError("nothing of the kind\nhere, but ü", Code.FailedPrecondition);
        },
        nodeGetCapabilities: () => ({
          capabilities: [{ type: { case: "rpc", value: { type: NodeServiceCapability_RPC_Type.GET_VOLUME_STATS } } }],
        }),
        nodeGetVolumeStats: () => ({
          usage: [{ unit: VolumeUsage_Unit.BYTES, used: 7n, total: 9_000_000_000n, available: 2n }],
        }),
        nodeGetVolumeHealth: () => ({
          volumeHealth: { healthStatuses: [{ status: VolumeHealthErrorType.DATA_LOSS, reason: "Why", message: "m" }] },
        }),
        nodeGetStorageHealth: () => ({
          backendHealth: [{ status: StorageHealthErrorType.STORAGE_DEGRADED, reason: "Why", message: "m" }],
        }),
      });
    },
  });
  server = createServer(adapter);
  await new Promise<void>((resolve) => server.listen(join(folder, "csi.sock"), resolve));
});

after(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

for (const create of [createConnectClient, createGrpcJsClient]) {
  describe(create.name, () => {
    test("reads the same answers in the same words", async () => {
      using client = create(join(folder, "csi.sock"));
      assert.deepEqual(await client.probe(), { ready: true });
      assert.equal((await client.pluginInfo()).name, "csi.test");
      assert.deepEqual(await client.nodeCapabilities(), ["GET_VOLUME_STATS"]);
      const usage = [{ unit: "BYTES", used: 7, total: 9_000_000_000, available: 2 }];
      assert.deepEqual(
        (await client.stats("v", "/t")).map((row) => ({ ...row })),
        usage,
      );
      assert.deepEqual(
        (await client.health("v", "/t")).map((row) => ({ ...row })),
        [{ status: "DATA_LOSS", reason: "Why", message: "m" }],
      );
      const [{ status, reason, message } = {}] = await client.storageHealth();
      assert.deepEqual([status, reason, message], ["STORAGE_DEGRADED", "Why", "m"]);
    });

    test("tells the server its time, and takes an answer that it had no time to read before that was over", async () => {
      using client = create(join(folder, "csi.sock"));
      await client.probe();
      busyMs = 2500;
      const request = { volumeId: "v", targetPath: "/t", readonly: true, volumeContext: {} };
      await client.publish(request, { timeoutMs: 2000 }).finally(() => (busyMs = 0));
      const told = toldMs.pop() ?? 0;
      assert.ok(told > 0 && told <= 2000, String(told));
    });

    test("sends a publish request whole and reports errors by gRPC's names", async () => {
      using client = create(join(folder, "csi.sock"));
      const request = {
        volumeId: "v",
        targetPath: "/t",
        readonly: true,
        volumeContext: { a: "b" },
        secrets: { c: "d" },
        mountFlags: ["noexec"],
        volumeMountGroup: "5",
      };
      await client.publish(request);
      const seen = published.pop();
      assert.deepEqual({ ...seen?.volumeContext, ...seen?.secrets }, { a: "b", c: "d" });
      const { accessType, accessMode } = seen?.volumeCapability ?? {};
      assert.equal(accessMode?.mode, 1);
      assert.ok(accessType?.case === "mount");
      assert.deepEqual([...accessType.value.mountFlags, accessType.value.volumeMountGroup], ["noexec", "5"]);
      await assert.rejects(client.unpublish("v", "/t"), (reason) => {
        assert.ok(reason instanceof CsiError);
        assert.deepEqual([reason.code, reason.message], ["FAILED_PRECONDITION", "nothing of the kind\nhere, but ü"]);
        return true;
      });
    });
  });
}
