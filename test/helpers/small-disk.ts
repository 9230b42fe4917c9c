import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { soon } from "./soon.ts";

/** A small file system of its own. */
export interface SmallDisk extends Disposable {
  readonly path: string;
  /**
   * Unmounts and mounts it: nothing on it may be in use. A mount namespace that another test has made meanwhile has it,
   * too, and what were mounted before that ends would be no new file system: that is waited for.
   */
  remount(): Promise<void>;
  /**
   * Flips a bit of the only place on the disk itself that has some bytes, as a disk does that goes bad: what was read of
   * it into memory stays as it was.
   */
  flip(bytes: string): void;
}

/** What a small disk is like. */
export interface SmallDiskOptions {
  /** ext2 if left out, which takes 32,000 links to a file. */
  readonly type?: "ext2" | "ext4" | "xfs";
  /** 16 MiB if left out; xfs needs 300 MiB. */
  readonly sizeBytes?: number;
  /** As many as mkfs thinks right if left out. */
  readonly inodes?: number;
  /** What root alone may use, of an ext2 or ext4: nothing if left out. */
  readonly reservedPercent?: number;
}

/** Why there can be no small disk, or false. */
export function whyNoSmallDisk(): string | false {
  if (process.getuid?.() !== 0) return "a disk of its own needs root";
  try {
    using _ = useSmallDisk();
    return false;
  } catch (error) {
    return `no disk of its own can be made: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Makes and mounts one. Needs root, mkfs and a free loop device. */
export function useSmallDisk(options: SmallDiskOptions = {}): SmallDisk {
  const { type = "ext2", sizeBytes = 16 * 1024 * 1024 } = options;
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-disk-"));
  const path = join(folder, "disk");
  const image = join(folder, "image");
  mkdirSync(path);
  writeFileSync(image, "");
  truncateSync(image, sizeBytes);
  const mount = () => execFileSync("mount", ["-t", type, "-o", "loop", image, path], { stdio: "pipe" });
  try {
    execFileSync(`mkfs.${type}`, ["-q", ...mkfsOptions(type, options), image]);
    mount();
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  return {
    path,
    async remount() {
      execFileSync("umount", [path]);
      await soon(async () => assert.equal(execFileSync("losetup", ["--associated", image], { encoding: "utf8" }), ""));
      mount();
    },
    flip(bytes) {
      execFileSync("sync", ["--file-system", path]);
      const found = readFileSync(image);
      const at = found.indexOf(bytes);
      if (at < 0 || found.includes(bytes, at + 1)) throw new Error("the disk has these bytes never, or twice");
      const file = openSync(image, "r+");
      writeSync(file, Buffer.from([(found[at] ?? 0) ^ 1]), 0, 1, at);
      closeSync(file);
    },
    [Symbol.dispose]() {
      execFileSync("umount", [path]);
      rmSync(folder, { recursive: true });
    },
  };
}

function mkfsOptions(
  type: NonNullable<SmallDiskOptions["type"]>,
  { inodes, reservedPercent = 0 }: SmallDiskOptions,
): string[] {
  if (type === "xfs") return ["-f"];
  const inodeOptions = inodes === undefined ? [] : ["-N", String(inodes)];
  // The driver runs as root, and a full disk is to be full.
  return ["-F", "-m", String(reservedPercent), ...(type === "ext4" ? ["-J", "size=4"] : []), ...inodeOptions];
}
