import { closeSync, existsSync, openSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";
import type { Admin, AdminCallName, AdminCallOptions, AdminCalls, PulledTree } from "../admin/index.ts";
import { DriverError, type ErrorKind, errnoOf } from "../base/index.ts";

/** One line of an answer. */
type AnswerLine<Name extends AdminCallName> =
  | { readonly progress: AdminCalls[Name]["progress"] }
  | { readonly result: AdminCalls[Name]["result"] }
  | { readonly error: { readonly kind: ErrorKind; readonly message: string } };

/** The admin socket of a driver that runs (see src/server/admin-socket.ts). */
export class AdminClient implements Admin {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** A client, if somebody answers on the socket; undefined if it is not there, or left by a process that was killed. */
  static async find(path: string): Promise<AdminClient | undefined> {
    if (!existsSync(path)) return undefined;
    const answers = await throughFolder(path, (short) => isServed(short));
    return answers ? new AdminClient(path) : undefined;
  }

  /** Asks; rejects with the driver's own error, and "unavailable" if it goes away meanwhile. */
  async call<Name extends AdminCallName>(
    name: Name,
    argument: AdminCalls[Name]["argument"],
    options: AdminCallOptions<AdminCalls[Name]["progress"]>,
  ): Promise<AdminCalls[Name]["result"]> {
    return throughFolder(this.#path, async (short) => {
      for await (const line of ask<Name>(short, { name, argument, signal: options.signal })) {
        if ("result" in line) {
          await options.whileHeld?.(line.result as PulledTree);
          return line.result;
        }
        if ("error" in line) throw new DriverError(line.error.kind, line.error.message);
        options.onProgress?.(line.progress);
      }
      options.signal.throwIfAborted();
      throw new DriverError("unavailable", "the driver went away before it had answered: see its log, and try again");
    });
  }
}

/** Calls with a path to the socket that is short enough for the kernel, however long its own is. */
async function throughFolder<T>(path: string, use: (short: string) => Promise<T>): Promise<T> {
  const folder = openSync(dirname(path), "r");
  try {
    return await use(`/proc/self/fd/${folder}/${basename(path)}`);
  } finally {
    closeSync(folder);
  }
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) => {
      if (["ENOENT", "ECONNREFUSED"].includes(errnoOf(error) ?? "")) resolve(false);
      else reject(new DriverError("unavailable", `cannot reach the driver: ${error.message}`, error));
    });
  });
}

async function* ask<Name extends AdminCallName>(
  socketPath: string,
  question: { readonly name: Name; readonly argument: unknown; readonly signal: AbortSignal },
): AsyncGenerator<AnswerLine<Name>> {
  const { name, argument, signal } = question;
  const asking = request({ socketPath, path: `/${name}`, method: "POST", agent: false, signal });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    asking.once("response", resolve);
    asking.on("error", reject);
  });
  asking.end(JSON.stringify(argument));
  try {
    const lines = createInterface({ input: await answered });
    // A result may come before the end: the rest is cut off when nobody reads lines any more.
    lines.on("error", () => undefined);
    for await (const line of lines) yield JSON.parse(line) as AnswerLine<Name>;
  } catch (error) {
    signal.throwIfAborted();
    throw new DriverError("unavailable", "the connection to the driver broke: see its log, and try again", error);
  } finally {
    asking.destroy();
  }
}
