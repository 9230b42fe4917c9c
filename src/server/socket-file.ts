import { promises as fs, lstatSync } from "node:fs";
import type { Server } from "node:net";
import { basename, dirname } from "node:path";
import { type Clock, DriverError, errnoOf, type Logger, makeFolders, sleep } from "../base/index.ts";
import { describeSocketOwner, probeSocket } from "./socket-owner.ts";

/** Where to listen, and how to treat who listens there already. */
export interface SocketFileOptions {
  /** Absolute, 107 bytes at most. Its folder is made if it is missing. */
  readonly path: string;
  /** How long somebody who answers there is waited for: a driver that is being replaced needs some seconds. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/** The kernel's limit for the path of a unix socket (`sun_path`, without the closing NUL). */
const MAX_SOCKET_PATH_BYTES = 107;
const PROBE_EVERY_MS = 250;

/** A socket file that this process made. It stays ours until another process puts its own in its place. */
export class SocketFile {
  readonly path: string;
  readonly #device: bigint;
  readonly #inode: bigint;

  constructor(path: string, identity: { readonly dev: bigint; readonly ino: bigint }) {
    this.path = path;
    this.#device = identity.dev;
    this.#inode = identity.ino;
  }

  /**
   * Whether the file at the path is still the one that was made. Asks the file system itself: the threads that do so
   * for others may all be waiting for a disk that hangs, and the answer must not depend on that.
   */
  isOurs(): boolean {
    const now = lstatSync(this.path, { bigint: true, throwIfNoEntry: false });
    return now !== undefined && now.dev === this.#device && now.ino === this.#inode;
  }

  /**
   * Removes the file unless it is somebody else's by now. To be called while the server still listens: a socket's inode
   * number may be used again once it is closed.
   */
  async remove(): Promise<void> {
    if (this.isOurs()) await fs.rm(this.path, { force: true });
  }
}

/**
 * Makes the server listen at a path. A socket that nobody serves is replaced; one that answers is waited for, then
 * "refused" says who it is, as it does for everything else that is in the way.
 */
export async function listenOnSocketFile(server: Server, options: SocketFileOptions): Promise<SocketFile> {
  const { path } = options;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new DriverError("refused", `cannot listen on ${path}: longer than ${MAX_SOCKET_PATH_BYTES} bytes`);
  }
  try {
    await makeFolders(dirname(path), 0o750);
    await waitUntilFree(options);
    return await bindSocketFile(server, path);
  } catch (error) {
    if (error instanceof DriverError || errnoOf(error) === undefined) throw error;
    throw new DriverError("refused", `cannot listen on ${path}: ${errnoOf(error)}`, error);
  }
}

async function waitUntilFree(options: SocketFileOptions): Promise<void> {
  const { path, clock, logger, signal } = options;
  const endMs = clock.monotonicMs() + options.waitMs;
  for (let said = false; await isServed(path); said = true) {
    if (!said) logger.info("another process answers on the socket, waiting for it to end", { path });
    if (clock.monotonicMs() >= endMs) {
      const owner = await describeSocketOwner(path);
      throw new DriverError(
        "refused",
        `cannot listen on ${path}: ${owner} answers there; stop it, or give this driver another path`,
      );
    }
    await sleep(clock, PROBE_EVERY_MS, signal);
  }
}

async function isServed(path: string): Promise<boolean> {
  const file = await fs.lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (file === undefined) return false;
  // Connecting to a plain file is refused as a dead socket's is: it must not be taken for one and replaced.
  if (!file.isSocket() && !file.isSymbolicLink()) {
    throw new DriverError("refused", `cannot listen on ${path}: something that is no socket is there; remove it`);
  }
  return (await probeSocket(path)) === "alive";
}

/**
 * Makes the server listen at a path that nobody else serves, whatever lies there. Binds to a temporary name beside the path
 * and renames. What is renamed into place replaces a dead socket in one step, is never seen with a wrong mode, and stays
 * when a server that had bound the path itself closes and unlinks it. The temporary name goes through an open folder: so it
 * is short enough, however long the path.
 */
export async function bindSocketFile(server: Server, path: string): Promise<SocketFile> {
  const folder = await fs.open(dirname(path), "r");
  const temporary = `/proc/self/fd/${folder.fd}/.${basename(path)}.new`;
  try {
    // Left by a process that was killed between the next steps.
    await fs.rm(temporary, { force: true });
    await listen(server, temporary);
    await fs.chmod(temporary, 0o600);
    const identity = await fs.lstat(temporary, { bigint: true });
    await fs.rename(temporary, path);
    return new SocketFile(path, identity);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  } finally {
    await folder.close();
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
