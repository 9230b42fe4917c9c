import { fstat, promises as fs } from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, type Libc } from "../base/index.ts";
import { entriesBelow, findInMountTable, type MountEntry, parseMountTable } from "./mount-table.ts";
import type { MountAt, Mounter } from "./mounter.ts";
import { mountIdOfHandle, pathOfHandle, withPathHandle } from "./path-handle.ts";

const MOUNT_TABLE = "/proc/self/mountinfo";
const statHandle = promisify(fstat);

/** The part of a mounter that only looks, the same on every kernel. */
export type MountLookup = Pick<
  Mounter,
  "mountAt" | "isDead" | "mountIdHolding" | "mountHolding" | "mountsBelow" | "mounts"
>;

/** Looks mounts up in the process's own namespace. Failures are those of node:fs. */
export function createMountLookup(libc: Libc): MountLookup {
  return { ...mountTable, isDead, mountAt: (path) => mountAt(libc, path) };
}

/** What needs no system call beside those of node:fs. */
export const mountTable: Omit<MountLookup, "mountAt" | "isDead"> = {
  async mountIdHolding(path) {
    return ifThere(() => withPathHandle(path, { follow: true, folder: false }, async (fd) => mountIdOfHandle(fd)));
  },

  async mountHolding(path) {
    return ifThere(() =>
      withPathHandle(path, { follow: true, folder: false }, async (fd) =>
        findInMountTable(await fs.readFile(MOUNT_TABLE), mountIdOfHandle(fd)),
      ),
    );
  },

  async mountsBelow(path) {
    const found = await ifThere(() =>
      withPathHandle(path, { follow: false, folder: false }, async (fd) => {
        const canonical = await fs.readlink(pathOfHandle(fd), { encoding: "buffer" });
        return entriesBelow(await readMounts(), { mountId: mountIdOfHandle(fd), canonical });
      }),
    );
    return found ?? [];
  },

  mounts: readMounts,
};

/** See `Mounter.mountAt`. */
export async function mountAt(libc: Pick<Libc, "identityOf">, path: string): Promise<MountAt | undefined> {
  return ifThere(() =>
    withPathHandle(dirname(path), { follow: true, folder: true }, (parent) =>
      mountInFolder(libc, parent, basename(path)),
    ),
  );
}

async function isDead(path: string): Promise<boolean> {
  try {
    await withPathHandle(path, { follow: false, folder: false }, (fd) => statHandle(fd));
    return false;
  } catch (error) {
    // What may not be asked (a FUSE file system of another user says EACCES) lives.
    return isDeath(error);
  }
}

async function readMounts(): Promise<MountEntry[]> {
  return parseMountTable(await fs.readFile(MOUNT_TABLE));
}

/** What is at a name is a mount's root if it lies on another mount than the folder that the name is in. */
async function mountInFolder(
  libc: Pick<Libc, "identityOf">,
  parent: number,
  name: string,
): Promise<MountAt | undefined> {
  const parentId = mountIdOfHandle(parent);
  try {
    const path = `${pathOfHandle(parent)}/${name}`;
    return await withPathHandle(path, { follow: false, folder: false }, async (fd) => {
      const mountId = mountIdOfHandle(fd);
      return mountId === parentId ? undefined : { mountId, ...identityIfTold(libc, fd) };
    });
  } catch (error) {
    if (!isDeath(error)) throw error;
    // A dead file system of some kinds (NFS) cannot even be opened as a place: the table still names it.
    const folder = await fs.readlink(pathOfHandle(parent));
    const path = join(folder, name);
    const entry = (await readMounts()).findLast((candidate) => candidate.mountPoint === path);
    if (entry === undefined) throw error;
    return { mountId: entry.mountId, device: undefined, inode: undefined };
  }
}

/** What may not be asked is a mount all the same, and not ours. */
function identityIfTold(libc: Pick<Libc, "identityOf">, fd: number): Omit<MountAt, "mountId"> {
  try {
    return libc.identityOf(fd);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return { device: undefined, inode: undefined };
  }
}

function isDeath(error: unknown): boolean {
  const code = errnoOf(error);
  return code === "ENOTCONN" || code === "ESTALE";
}

/** Nothing is mounted at a path that does not lead anywhere. */
async function ifThere<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
