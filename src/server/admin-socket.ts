import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Admin, AdminCallName, PulledTree } from "../admin/index.ts";
import { DriverError, describeError, errorToData, type LogFields, type Logger } from "../base/index.ts";
import { bindSocketFile, type SocketFile } from "./socket-file.ts";

/** What is served where. */
export interface AdminSocketOptions {
  /** Absolute; as long as the file system allows. Whoever opens it holds the lock that says that nobody else serves it. */
  readonly path: string;
  readonly admin: Admin;
  readonly logger: Logger;
}

/** A question: nobody names more than some trees. */
const MAX_QUESTION_BYTES = 1024 * 1024;

/**
 * Serves administration on a unix socket (0600), by HTTP: `POST /<call>` with the argument as JSON. The answer is a line of
 * JSON for each thing that is told meanwhile, `{"progress": ...}`, then one `{"result": ...}` or `{"error": ...}`. A caller
 * that goes away ends its call. What a pull has made is held until its caller goes away.
 */
export class AdminSocket {
  readonly #server: Server;
  readonly #socketFile: SocketFile;
  readonly #sockets: ReadonlySet<Socket>;

  private constructor(server: Server, socketFile: SocketFile, sockets: ReadonlySet<Socket>) {
    this.#server = server;
    this.#socketFile = socketFile;
    this.#sockets = sockets;
  }

  /** Listens. The socket of a process that was killed is replaced. */
  static async open({ path, admin, logger }: AdminSocketOptions): Promise<AdminSocket> {
    const server = createServer((request, response) => void answer(admin, request, response, logger));
    const sockets = new Set<Socket>();
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    const socketFile = await bindSocketFile(server, path);
    server.on("error", (error) => logger.error("the admin socket fails", { error: describeError(error) }));
    return new AdminSocket(server, socketFile, sockets);
  }

  /** Cuts off who asks, and resolves when nobody is connected any more. What a call does comes to its end by its signal. */
  async close(): Promise<void> {
    await this.#socketFile.remove();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

async function answer(admin: Admin, request: IncomingMessage, response: ServerResponse, logger: Logger): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the caller went away")));
  const tell = (line: object) => void response.write(`${JSON.stringify(line)}\n`);
  response.writeHead(200, { "content-type": "application/x-ndjson", connection: "close" });
  try {
    const name = (request.url ?? "").slice(1) as AdminCallName;
    const argument = JSON.parse(await textOf(request));
    const onProgress = (progress: unknown) => tell({ progress });
    const whileHeld = (tree: PulledTree) => {
      tell({ result: tree });
      return aborted(gone.signal);
    };
    const result = await admin.call(name, argument, { signal: gone.signal, onProgress, whileHeld });
    if (!gone.signal.aborted) tell({ result });
    logger[looksOnly(name) ? "debug" : "info"]("the cache was administered", { call: name });
  } catch (reason) {
    if (!gone.signal.aborted) logger.warn("administration failed", { call: request.url, ...errorFields(reason) });
    const { kind, message } = errorToData(reason);
    tell({ error: { kind, message } });
  }
  response.end();
}

/** Whether a call changes nothing: people and programs may ask all day. */
function looksOnly(name: AdminCallName): boolean {
  return name === "list" || name === "volumes" || name === "measure";
}

/** What the caller was told; of a fault of the driver all that is known, as only the log has it. */
function errorFields(reason: unknown): LogFields {
  if (reason instanceof DriverError && reason.kind !== "internal") return { kind: reason.kind, error: reason.message };
  return { error: describeError(reason) };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += (part as Buffer).length;
    if (bytes > MAX_QUESTION_BYTES) throw new Error("the question is too long");
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString("utf8");
}
