import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as koffi from "koffi";
import { type Libc, openLibc } from "../../src/base/index.ts";
import { whyNoMounts } from "../driver/mounts.ts";
import { serveStale } from "./stale-server.ts";

const MS_BIND = 1 << 12;
const MS_PRIVATE = 1 << 18;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

/** Why tests that mount must be skipped, or false. */
export const skipMounts = whyNoMounts();

/** A tmpfs of its own to mount in. Disposing of it takes everything that is mounted below it away. */
export interface MountArea extends AsyncDisposable {
  readonly path: string;
  /** Another place of the same tmpfs, a peer of `path` if the area is shared. */
  readonly peer: string;
  readonly libc: Libc;
  /** Makes a folder in the area and returns its path. */
  folder(name: string): string;
  /** Mounts a FUSE file system that nobody serves: every call on it says ENOTCONN. */
  mountDead(target: string): Promise<void>;
  /** Mounts a FUSE file system that says ESTALE to all that it is asked. */
  mountStale(target: string): Promise<void>;
  /** Mounts a FUSE file system whose server never answers: calls on it hang until the area is disposed of. */
  mountHung(target: string): Promise<void>;
  /** Ends the servers that never answer: what hangs with them goes on. */
  hangUp(): void;
}

/** How the area propagates mounts, and options of its tmpfs. */
export interface MountAreaOptions {
  readonly propagation?: "private" | "shared";
  readonly tmpfs?: string;
}

/** Makes an area below the temporary folder. Needs root. */
export async function useMountArea({ propagation = "private", tmpfs = "mode=755" }: MountAreaOptions = {}) {
  const libc = openLibc(koffi);
  const outer = mkdtempSync(join(tmpdir(), "oras-csi-mounts-"));
  await libc.mount({ source: "area", target: outer, fsType: "tmpfs", flags: 0 });
  await libc.mount({ target: outer, flags: MS_PRIVATE });
  const path = join(outer, "area");
  const peer = join(outer, "peer");
  const silentServers: number[] = [];
  const mountFuse = async (source: string, target: string) => {
    const server = openSync("/dev/fuse", "r+");
    const data = `fd=${server},rootmode=40000,user_id=0,group_id=0`;
    await libc.mount({ source, target, fsType: "fuse", flags: 0, data });
    return server;
  };
  const area: MountArea = {
    path,
    peer,
    libc,
    folder(name) {
      const folder = join(path, name);
      mkdirSync(folder, { recursive: true });
      return folder;
    },
    async mountDead(target) {
      closeSync(await mountFuse("dead", target));
    },
    async mountStale(target) {
      serveStale(await mountFuse("stale", target));
    },
    async mountHung(target) {
      silentServers.push(await mountFuse("hung", target));
    },
    hangUp() {
      for (const server of silentServers.splice(0)) closeSync(server);
    },
    async [Symbol.asyncDispose]() {
      area.hangUp();
      await libc.unmount(outer, MNT_DETACH);
      rmdirSync(outer);
    },
  };
  mkdirSync(path);
  mkdirSync(peer);
  await libc.mount({ source: "area", target: path, fsType: "tmpfs", flags: 0, data: tmpfs });
  await libc.mount({ target: path, flags: propagation === "shared" ? MS_SHARED : MS_PRIVATE });
  await libc.mount({ source: path, target: peer, flags: MS_BIND });
  return area;
}
