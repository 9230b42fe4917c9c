import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { endInOwnTurn } from "./session-end.ts";

/**
 * Runs `use` as a gRPC client of a unix socket, over a connection of its own that is closed afterwards. Anything may
 * listen there: what breaks the connection fails the calls, and nothing else. Give each call a `timeoutMs`.
 */
export async function withGrpcSocket<T>(path: string, use: (transport: Transport) => Promise<T>): Promise<T> {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(path) });
  endInOwnTurn(session);
  // Connect's own session manager leaves some errors of a peer that speaks no HTTP/2 to nobody, which would end the
  // process.
  session.on("error", () => session.destroy());
  const sessionManager = {
    authority: "http://localhost",
    request: async (method: string, requestPath: string, headers: OutgoingHttpHeaders) =>
      session.request({ ...headers, ":method": method, ":path": requestPath }),
    notifyResponseByteRead: () => undefined,
  };
  try {
    return await use(createGrpcTransport({ baseUrl: "http://localhost", sessionManager }));
  } finally {
    session.destroy();
  }
}
