import { fstat, promises as fs } from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { errnoOf, type Libc } from "../base/index.ts";
import { entriesBelow, findInMountTable, type MountEntry, parseMountTable } from "./mount-table.ts";
import type { FolderMount, MountAt, Mounter, PathLook } from "./mounter.ts";
import { type HeldFolder, mountIdOfHandle, pathOfHandle, withPathHandle } from "./path-handle.ts";

const MOUNT_TABLE = "/proc/self/mountinfo";
const statHandle = promisify(fstat);

/** The part of a mounter that only looks, the same on every kernel. */
export type MountLookup = Pick<Mounter, "lookAt" | "mountAt" | "isDead" | "mountHolding" | "mountsBelow" | "mounts">;

/** What looks need of the C library. */
type LookLibc = Pick<Libc, "identityOf" | "mountOf">;

/** Looks mounts up in the process's own namespace. Failures are those of node:fs. */
export function createMountLookup(libc: LookLibc): MountLookup {
  return {
    ...mountTable,
    isDead,
    lookAt: (path, folder) => lookAt(libc, path, folder),
    mountAt: (path) => mountAt(libc, path),
  };
}

/** What needs no system call beside those of node:fs. */
export const mountTable: Omit<MountLookup, "lookAt" | "mountAt" | "isDead"> = {
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
export async function mountAt(libc: LookLibc, path: string): Promise<MountAt | undefined> {
  return (await lookAt(libc, path)).mount;
}

/** See `Mounter.lookAt`. */
async function lookAt(libc: LookLibc, path: string, folder?: HeldFolder): Promise<PathLook> {
  const lookIn = (parent: number) => lookInFolder(libc, parent, basename(path));
  if (folder?.fd !== undefined) return lookIn(folder.fd);
  const look = await ifThere(() => withPathHandle(dirname(path), { follow: true, folder: true }, lookIn));
  return look ?? { mount: undefined, isThere: false, folder: undefined };
}

async function lookInFolder(libc: LookLibc, parent: number, name: string): Promise<PathLook> {
  const about = aboutMount(libc, parent);
  const folder = { mountId: about?.mountId ?? mountIdOfHandle(parent), about };
  const found = await ifThere(() => mountInFolder(libc, { parent, folder }, name));
  return found ?? { mount: undefined, isThere: false, folder };
}

/** A file system that does not even tell what is remembered of it leaves this to the table of mounts. */
function aboutMount(libc: LookLibc, fd: number): FolderMount["about"] {
  try {
    return libc.mountOf(fd);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
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
  libc: LookLibc,
  { parent, folder }: { readonly parent: number; readonly folder: FolderMount },
  name: string,
): Promise<PathLook> {
  const seen = (mount: MountAt | undefined): PathLook => ({ mount, isThere: true, folder });
  try {
    const path = `${pathOfHandle(parent)}/${name}`;
    return await withPathHandle(path, { follow: false, folder: false }, async (fd) => {
      const mountId = mountIdOfHandle(fd);
      return seen(mountId === folder.mountId ? undefined : { mountId, ...identityIfTold(libc, fd) });
    });
  } catch (error) {
    if (!isDeath(error)) throw error;
    // A dead file system of some kinds (NFS) cannot even be opened as a place: the table still names it.
    const path = join(await fs.readlink(pathOfHandle(parent)), name);
    const entry = (await readMounts()).findLast((candidate) => candidate.mountPoint === path);
    if (entry === undefined) throw error;
    return seen({ mountId: entry.mountId, device: undefined, inode: undefined });
  }
}

/** What may not be asked is a mount all the same, and not ours. */
function identityIfTold(libc: LookLibc, fd: number): Omit<MountAt, "mountId"> {
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
