import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { type ByteRange, DriverError, errnoOf } from "../base/index.ts";
import { fileTime } from "./file-time.ts";
import { quoteName, refuseEntry } from "./refusal.ts";

/** The kernel's limit on a path in one call, its final NUL included. */
const PATH_MAX = 4096;
const SLASH = 0x2f;
/** So much of a file is read back at once. */
const PART_BYTES = 64 * 1024;
const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** What a mode that is given when something is made can hold. */
const PERMISSIONS = 0o777;
const OWNER_ALL = 0o700;
const SOME_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Whose a file is. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What a file, or a link, is given beside its content. */
export interface FileFacts {
  readonly mode: number;
  readonly mtime: number;
  /** Undefined: whoever unpacks it. */
  readonly owner: Owner | undefined;
}

/**
 * System calls below one folder that nobody else writes. Paths are relative and clean, and the caller knows that what
 * they lead through are folders. They may be as long as the kernel allows for a path of its own: one that with the
 * folder's is too long for a call is reached from a folder in its middle. Errors are `DriverError`s that name the entry.
 */
export class LayerFolder {
  readonly #root: Buffer;
  /**
   * Whether files, and folders, come out with exactly the mode that they are made with: umask and access lists are the
   * same for all of them. By mode, as far as it was tried.
   */
  readonly #exact = {
    file: new Map<number, boolean>(),
    folder: new Map<number, boolean>(),
  };

  constructor(root: string) {
    this.#root = Buffer.from(`${root}/`);
  }

  /** Makes a folder that we can fill, and says whether it has its mode already. */
  makeFolder(path: Buffer, mode: number): boolean {
    return this.#call("make folder", path, (at) => {
      const canHave = (mode & OWNER_ALL) === OWNER_ALL && this.#canBegin(mode, "folder");
      mkdirSync(at, canHave ? mode : OWNER_ALL);
      return canHave && this.#isExact(mode, "folder", () => lstatSync(at).mode);
    });
  }

  /**
   * Sets what was put off: a folder is closed and its time set once everything is in it. Undefined: it has its mode; it has
   * no time.
   */
  finishFolder(path: Buffer, mode: number | undefined, mtime: number | undefined): void {
    this.#call("set the mode of", path, (at) => {
      if (mode !== undefined) chmodSync(at, mode);
      if (mtime !== undefined) utimesSync(at, fileTime(mtime), fileTime(mtime));
    });
  }

  /** Makes a file that is to have this mode and returns its descriptor. */
  makeFile(path: Buffer, mode: number): number {
    return this.#call("make file", path, (at) => openSync(at, NEW_FILE, this.#canBegin(mode, "file") ? mode : 0o600));
  }

  /** Writes all of some bytes, at an offset or where the last ones ended. */
  write(file: number, bytes: Buffer, path: Buffer, offset?: number): void {
    for (let at = 0; at < bytes.length; ) {
      const position = offset === undefined ? null : offset + at;
      const written = this.#guard("write", path, () => writeSync(file, bytes, at, bytes.length - at, position));
      if (written === 0) throw diskFull("write", path);
      at += written;
    }
  }

  /** sha256 of what parts of a file hold, one after the other. */
  hash(file: number, path: Buffer, ranges: Iterable<ByteRange>): Buffer {
    const hash = createHash("sha256");
    const part = Buffer.allocUnsafe(PART_BYTES);
    for (const { start, end } of ranges) {
      for (let at = start, read = -1; at < end && read !== 0; at += read) {
        read = this.#guard("read back", path, () => readSync(file, part, 0, Math.min(PART_BYTES, end - at), at));
        hash.update(part.subarray(0, read));
      }
    }
    return hash.digest();
  }

  /** Gives a file the size that it has with its holes. */
  setSize(file: number, path: Buffer, size: number): void {
    this.#guard("make file", path, () => ftruncateSync(file, size));
  }

  /** Sets owner, mode (whatever the umask) and time of an open file. */
  finishFile(file: number, path: Buffer, { mode, mtime, owner }: FileFacts): void {
    this.#guard("finish", path, () => {
      if (owner !== undefined) fchownSync(file, owner.uid, owner.gid);
      futimesSync(file, fileTime(mtime), fileTime(mtime));
      const hasMode = this.#canBegin(mode, "file") && this.#isExact(mode, "file", () => fstatSync(file).mode);
      if (!hasMode) fchmodSync(file, mode);
    });
  }

  /** Closes a file; it is closed also if that fails. */
  closeFile(file: number, path: Buffer): void {
    this.#guard("finish", path, () => closeSync(file));
  }

  makeSymlink(path: Buffer, target: Buffer): void {
    this.#call("make symlink", path, (at) => symlinkSync(target, at));
  }

  /** Sets the owner of a folder. */
  setOwner(path: Buffer, { uid, gid }: Owner): void {
    this.#call("set the owner of", path, (at) => lchownSync(at, uid, gid));
  }

  /** Sets a symlink's own owner and time. */
  finishSymlink(path: Buffer, owner: Owner, mtime: number): void {
    this.#call("finish symlink", path, (at) => {
      lchownSync(at, owner.uid, owner.gid);
      lutimesSync(at, fileTime(mtime), fileTime(mtime));
    });
  }

  makeHardLink(path: Buffer, target: Buffer): void {
    this.#call("make hard link", path, (at) => this.#reach(target, (from) => linkSync(from, at)));
  }

  removeFile(path: Buffer): void {
    this.#call("replace", path, (at) => unlinkSync(at));
  }

  /** Removes a folder; false if something is in it. */
  removeEmptyFolder(path: Buffer): boolean {
    return this.#reach(path, (at) => {
      try {
        rmdirSync(at);
        return true;
      } catch (error) {
        if (errnoOf(error) === "ENOTEMPTY") return false;
        throw failure("replace", path, error);
      }
    });
  }

  /** Whether something may be made with its mode: that is no use where it was seen to come out as another one. */
  #canBegin(mode: number, what: "file" | "folder"): boolean {
    return mode <= PERMISSIONS && this.#exact[what].get(mode) !== false;
  }

  /** Looks at the first one that was made with a mode. */
  #isExact(mode: number, what: "file" | "folder", modeOfFirst: () => number): boolean {
    const known = this.#exact[what].get(mode);
    if (known !== undefined) return known;
    const isExact = (modeOfFirst() & 0o7777) === mode;
    this.#exact[what].set(mode, isExact);
    return isExact;
  }

  #call<T>(verb: string, path: Buffer, call: (absolute: Buffer) => T): T {
    return this.#guard(verb, path, () => this.#reach(path, call));
  }

  #guard<T>(verb: string, path: Buffer, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw failure(verb, path, error);
    }
  }

  /** Calls with a path that is short enough: through a descriptor of a folder half-way if it has to be. */
  #reach<T>(path: Buffer, call: (absolute: Buffer) => T): T {
    const absolute = Buffer.concat([this.#root, path]);
    if (absolute.length < PATH_MAX) return call(absolute);
    const cut = path.lastIndexOf(SLASH, PATH_MAX / 2);
    const folder = openSync(Buffer.concat([this.#root, path.subarray(0, cut)]), SOME_FOLDER);
    try {
      return call(Buffer.concat([Buffer.from(`/proc/self/fd/${folder}`), path.subarray(cut)]));
    } finally {
      closeSync(folder);
    }
  }
}

function failure(verb: string, path: Buffer, cause: unknown): unknown {
  if (cause instanceof DriverError) return cause;
  const code = errnoOf(cause);
  if (code === "ENOSPC" || code === "EDQUOT") return diskFull(verb, path, cause);
  if (code === "ENAMETOOLONG") return refuseEntry(path, `cannot ${verb} it: its name or target is too long here`);
  if (code === "EFBIG") return refuseEntry(path, "it is larger than a file on this disk can be");
  if (code === "EMLINK") return refuseEntry(path, "there are more hard links to one file than this disk can hold");
  return new DriverError("internal", `cannot ${verb} ${quoteName(path)} while unpacking: ${code ?? "failed"}`, cause);
}

function diskFull(verb: string, path: Buffer, cause?: unknown): DriverError {
  return new DriverError("no-space", `cannot ${verb} ${quoteName(path)} while unpacking: the disk is full`, cause);
}
