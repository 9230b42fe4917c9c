import { constants } from "node:os";
import {
  createCallers,
  cString,
  type Koffi,
  type Library,
  type NativeCall,
  type SystemCallError,
} from "./libc-calls.ts";
import {
  identityFrom,
  MOUNT_ATTR_SIZE,
  type MountAttributes,
  type MountPlace,
  mountFrom,
  mountRequestFrom,
  packMountAttributes,
  STATMOUNT_SIZE,
  STATX,
  STATX_SIZE,
} from "./libc-structs.ts";
import { Semaphore } from "./semaphore.ts";

/** The arguments of mount(2); what is left out is NULL. */
export interface MountCall {
  readonly source?: string;
  readonly target: string;
  readonly fsType?: string;
  readonly flags: number;
  /** Comma-separated options. The kernel reads one page and cuts the rest silently: keep it below 4,096 bytes. */
  readonly data?: string;
}

/**
 * The system calls that node:fs lacks. Paths are UTF-8 text, or bytes where a name is no UTF-8; one with NUL in it is
 * an EINVAL. What may block runs on libuv's threads, bounded. All failures are `SystemCallError`s.
 */
export interface Libc {
  /** open_tree(2) relative to the working directory: a descriptor to be closed with `close`. Linux 5.2. */
  openTree(path: string, flags: number): Promise<number>;
  /** mount_setattr(2) on the mount that a descriptor stands for, not on those below it. Asks no file system. Linux 5.12. */
  setMountAttributes(fd: number, attributes: MountAttributes): void;
  /** move_mount(2) from a descriptor to a path, whose last part is not followed if it is a symlink: EINVAL. Linux 5.2. */
  moveMount(fromFd: number, target: string): Promise<void>;
  mount(call: MountCall): Promise<void>;
  /** umount2(2). */
  unmount(target: string | Uint8Array, flags: number): Promise<void>;
  /**
   * What the kernel remembers of a descriptor's file (statx(2) with AT_STATX_DONT_SYNC), device and inode as node:fs
   * gives them. Asks no server, so it does not hang with one. Linux 4.11.
   */
  identityOf(fd: number): { readonly device: bigint; readonly inode: bigint };
  /**
   * Where the mount is that a descriptor's file is on, and the peer group that it is shared in (statmount(2)), from the
   * kernel's memory as `identityOf`. Undefined where the kernel does not say: before Linux 6.8.
   */
  mountOf(fd: number): MountPlace | undefined;
  /** Whether the mount that a descriptor's file is on, or its file system, is read-only (fstatfs(2)). */
  isReadOnly(fd: number): Promise<boolean>;
  /** syncfs(2): writes back the file system that the descriptor's file is on. */
  syncFileSystem(fd: number): Promise<void>;
  /** malloc_trim(3): gives back to the system what is free, of all threads. Nothing where the C library has no such call. */
  trimMemory(): Promise<void>;
  /**
   * madvise(2) with MADV_DONTNEED: takes pages of a mapped file out of the process. They come back from the file when they
   * are used, so nothing may ever have been written to them.
   */
  unmapPages(range: { readonly address: bigint; readonly length: bigint }): void;
  /**
   * mallopt(3): has large blocks taken from the system one by one, so that they go back when they are freed, and keeps few
   * heaps for all threads. Nothing where the C library has no such call.
   */
  giveLargeBlocksBack(): void;
  /** flock(2), exclusive, without waiting: false if another open file description holds the lock. */
  tryLock(fd: number): boolean;
  /** Gives up what `tryLock` took. */
  unlock(fd: number): void;
  /** _exit(2): ends the process at once, whatever its threads hang in. Nothing is flushed or waited for. */
  exit(code: number): void;
  /** close(2), for descriptors made here: Deno's own close does not know them. */
  close(fd: number): void;
  /** `close` where it may take long: the last descriptor of a file system syncs it. One at a time. */
  closeInBackground(fd: number): Promise<void>;
}

// The same numbers on x64 and arm64 (all calls newer than 5.0 share one table).
const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_MOUNT_SETATTR = 442;
const SYS_STATMOUNT = 457;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
// struct statfs on 64-bit systems: f_flags is its eleventh word.
const STATFS_SIZE = 120;
const STATFS_FLAGS = 80;
const ST_RDONLY = 1n;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MADV_DONTNEED = 4;
// Set once, it stays: glibc would else let it grow with the largest block that was freed.
const M_MMAP_THRESHOLD = -3;
const LARGE_BLOCK_BYTES = 128 * 1024;
const M_ARENA_MAX = -8;
const FEW_HEAPS = 2;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/**
 * Binds the C library of the running process. Calls on mounts take at most two of libuv's four threads, and what syncs
 * takes one, so that a hung file system cannot stop all file access of the process.
 */
export function openLibc(koffi: Koffi): Libc {
  const library = koffi.load(null);
  const native = bindFunctions(library);
  const { callSync, callAsync } = createCallers(koffi, library);
  const mounting = new Semaphore(2);
  const syncing = new Semaphore(1);
  const empty = cString("", "open_tree");

  return {
    ...createLooks(native, callSync, empty),
    openTree: async (path, flags) =>
      callAsync(mounting, native.openTree, [SYS_OPEN_TREE, AT_FDCWD, cString(path, "open_tree"), flags]),
    setMountAttributes(fd, attributes) {
      const packed = packMountAttributes(attributes);
      callSync(native.setAttributes, [SYS_MOUNT_SETATTR, fd, empty, AT_EMPTY_PATH, packed, MOUNT_ATTR_SIZE]);
    },
    async moveMount(fromFd, target) {
      const to = cString(target, "move_mount");
      const args = [SYS_MOVE_MOUNT, fromFd, empty, AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH];
      await callAsync(mounting, native.moveMount, args);
    },
    async mount({ source, target, fsType, flags, data }) {
      const text = (value: string | undefined) => (value === undefined ? null : cString(value, "mount"));
      const args = [text(source), cString(target, "mount"), text(fsType), flags, text(data)];
      await callAsync(mounting, native.mount, args);
    },
    async unmount(target, flags) {
      await callAsync(mounting, native.unmount, [cString(target, "umount2"), flags]);
    },
    async isReadOnly(fd) {
      const about = Buffer.alloc(STATFS_SIZE);
      await callAsync(mounting, native.statfs, [fd, about]);
      return (about.readBigUInt64LE(STATFS_FLAGS) & ST_RDONLY) !== 0n;
    },
    async syncFileSystem(fd) {
      await callAsync(syncing, native.syncFileSystem, [fd]);
    },
    async trimMemory() {
      if (native.trim !== undefined) await callAsync(syncing, native.trim, [0]);
    },
    unmapPages: ({ address, length }) => void callSync(native.advise, [address, length, MADV_DONTNEED]),
    giveLargeBlocksBack() {
      if (native.tune === undefined) return;
      native.tune.run(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
      native.tune.run(M_ARENA_MAX, FEW_HEAPS);
    },
    tryLock(fd) {
      try {
        callSync(native.lock, [fd, LOCK_EX | LOCK_NB]);
        return true;
      } catch (error) {
        if ((error as SystemCallError).errno === constants.errno.EAGAIN) return false;
        throw error;
      }
    },
    unlock: (fd) => void callSync(native.lock, [fd, LOCK_UN]),
    exit: (code) => void callSync(native.exit, [code]),
    close: (fd) => void callSync(native.close, [fd]),
    async closeInBackground(fd) {
      await callAsync(syncing, native.close, [fd]);
    },
  };
}

function bindFunctions(library: Library) {
  const bind = (name: string, declaration: string): NativeCall => ({ name, run: library.func(declaration) });
  return {
    // syscall(2) is variadic; declared with fixed parameters, which both calling conventions pass alike.
    openTree: bind("open_tree", "long syscall(long number, int fd, const void *path, unsigned int flags)"),
    setAttributes: bind(
      "mount_setattr",
      "long syscall(long number, int fd, const void *path, unsigned int flags, void *attributes, size_t size)",
    ),
    moveMount: bind(
      "move_mount",
      "long syscall(long number, int from, const void *fromPath, int to, const void *toPath, unsigned int flags)",
    ),
    mount: bind(
      "mount",
      "int mount(const void *source, const void *target, const void *type, unsigned long flags, const void *data)",
    ),
    unmount: bind("umount2", "int umount2(const void *target, int flags)"),
    statx: bind("statx", "int statx(int fd, const void *path, int flags, unsigned int mask, void *attributes)"),
    statmount: bind(
      "statmount",
      "long syscall(long number, const void *request, void *answer, size_t size, unsigned int flags)",
    ),
    statfs: bind("fstatfs", "int fstatfs(int fd, void *about)"),
    syncFileSystem: bind("syncfs", "int syncfs(int fd)"),
    advise: bind("madvise", "int madvise(uintptr_t address, size_t length, int advice)"),
    lock: bind("flock", "int flock(int fd, int operation)"),
    exit: bind("_exit", "void _exit(int code)"),
    close: bind("close", "int close(int fd)"),
    trim: isGlibc(library) ? bind("malloc_trim", "int malloc_trim(size_t pad)") : undefined,
    tune: isGlibc(library) ? bind("mallopt", "int mallopt(int parameter, int value)") : undefined,
  };
}

function isGlibc(library: Library): boolean {
  try {
    library.func("const char *gnu_get_libc_version()");
    return true;
  } catch {
    // Another C library has no such function, and no malloc_trim.
    return false;
  }
}

/** What the kernel tells from its own memory, at once. */
function createLooks(
  native: ReturnType<typeof bindFunctions>,
  callSync: (call: NativeCall, args: readonly unknown[]) => number,
  empty: Buffer,
): Pick<Libc, "identityOf" | "mountOf"> {
  const lookAt = (fd: number, mask: number) => {
    const attributes = Buffer.alloc(STATX_SIZE);
    callSync(native.statx, [fd, empty, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, attributes]);
    return attributes;
  };
  return {
    identityOf: (fd) => identityFrom(lookAt(fd, STATX.INO)),
    mountOf(fd) {
      const request = mountRequestFrom(lookAt(fd, STATX.MNT_ID_UNIQUE));
      if (request === undefined) return undefined;
      const answer = Buffer.alloc(STATMOUNT_SIZE);
      const isTold = Number(native.statmount.run(SYS_STATMOUNT, request, answer, STATMOUNT_SIZE, 0)) === 0;
      return isTold ? mountFrom(answer) : undefined;
    },
  };
}
