import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Identity, Node } from "../../gen/csi/v1/csi_pb.js";
import { GrpcJsClient, useConnectClients } from "../../test/csi/csi-clients.ts";

const root = join(import.meta.dirname, "../..");
const deno = join(root, "node_modules/.bin/deno");
const publish = {
  volumeId: "v1",
  targetPath: "/t",
  volumeCapability: { accessType: { case: "mount" as const, value: {} } },
};

test("the server runs on Deno", { skip: existsSync(deno) ? false : "deno is not installed" }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-test-"));
  const socketPath = join(folder, "csi.sock");
  const child = spawn(deno, ["run", "-A", join(root, "test/csi/serve-scripted.ts"), socketPath], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  try {
    assert.equal((await lines.next()).value, "listening");
    using clients = useConnectClients(socketPath);
    using grpcJs = new GrpcJsClient(socketPath, { "grpc.default_authority": "%2Fcsi%2Fcsi.sock" });
    assert.equal((await clients.identity.getPluginInfo({})).name, "csi.oras.land");
    assert.equal((await grpcJs.call(Identity.method.getPluginInfo, {})).name, "csi.oras.land");
    await assert.rejects(grpcJs.call(Node.method.nodePublishVolume, {}), /volume id is missing/);
    // In flight while the server closes: it is let finish, and the connections do not hold up the end.
    const call = clients.node.nodePublishVolume(publish);
    assert.equal((await lines.next()).value, "publishing");
    const silent = connect(socketPath).resume();
    await once(silent, "connect");
    // Ended or reset: nobody reads what it may have said.
    silent.on("error", () => undefined);
    child.stdin.end();
    await call;
    assert.equal((await lines.next()).value, "closed");
    assert.deepEqual(await exited, [0, null]);
    assert.ok(!existsSync(socketPath));
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true });
  }
});
