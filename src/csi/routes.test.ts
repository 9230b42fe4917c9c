import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { useCsiServer } from "../../test/csi/csi-server.ts";

for (const contentType of ["application/json", "application/proto", "application/grpc-web+proto"]) {
  test(`the socket speaks gRPC and not ${contentType}, and keeps no stream for who does`, {
    timeout: 30_000,
  }, async () => {
    await using csi = await useCsiServer();
    const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
    const headers = { ":method": "POST", ":path": "/csi.v1.Identity/Probe", "content-type": contentType };
    try {
      // The second caller does not end its request, and need not.
      for (const isEnded of [true, false]) {
        const stream = session.request(headers, { endStream: isEnded });
        const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
        assert.equal(answer[":status"], 415);
        stream.resume();
        await once(stream, "close");
      }
    } finally {
      session.destroy();
    }
  });
}
