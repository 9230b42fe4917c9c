import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { useConnectClients } from "../../test/csi/csi-clients.ts";
import { useCsiServer } from "../../test/csi/csi-server.ts";

const capability = { accessType: { case: "mount" as const, value: {} } };
const publish = { volumeId: "v1", targetPath: "/t", volumeCapability: capability };

test("close lets a call in flight finish, takes no new ones, and removes the socket", async () => {
  await using csi = await useCsiServer();
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  csi.volumes.onPublish = () => {
    begun.resolve();
    return end.promise;
  };
  const call = csi.clients.node.nodePublishVolume(publish);
  await begun.promise;
  const closed = csi.server.close();
  assert.equal(csi.server.close(), closed);
  using late = useConnectClients(csi.socketPath);
  // The socket is gone at once, so that a new driver need not wait for this one's calls.
  while (existsSync(csi.socketPath)) await new Promise(setImmediate);
  await assert.rejects(late.identity.probe({}));
  end.resolve();
  await call;
  await closed;
  assert.equal(csi.server.callsInFlight, 0);
});

test("a call that outlasts the drain time is answered UNAVAILABLE", async () => {
  await using csi = await useCsiServer({ drainMs: 600 });
  const begun = Promise.withResolvers<void>();
  csi.volumes.onPublish = (request) => {
    begun.resolve();
    return new Promise((_, reject) => {
      request.signal.addEventListener("abort", () => reject(new DOMException("gone", "AbortError")), { once: true });
    });
  };
  const call = assert.rejects(csi.clients.node.nodePublishVolume(publish), (error) => {
    return error instanceof ConnectError && error.code === Code.Unavailable && /is stopping/.test(error.message);
  });
  await begun.promise;
  await csi.server.close();
  await call;
});

test("a handler that never ends does not hold up close", async () => {
  await using csi = await useCsiServer({ drainMs: 20 });
  const begun = Promise.withResolvers<void>();
  csi.volumes.onPublish = () => {
    begun.resolve();
    return new Promise(() => undefined);
  };
  const call = assert.rejects(csi.clients.node.nodePublishVolume(publish));
  await begun.promise;
  await csi.server.close();
  await call;
});

test("peers that say nothing, or have an open session, do not hold up close", async () => {
  await using csi = await useCsiServer();
  const silent = connect(csi.socketPath).resume();
  await once(silent, "connect");
  const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
  await once(session, "remoteSettings");
  const gone = [once(silent, "close"), once(session, "close")];
  await csi.server.close();
  await Promise.all(gone);
});
