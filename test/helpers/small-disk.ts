import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A small ext2 file system of its own, which takes 32,000 links to a file. */
export interface SmallDisk extends Disposable {
  readonly path: string;
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

/** Makes and mounts one. Needs root, mkfs.ext2 and a free loop device. */
export function useSmallDisk(): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-disk-"));
  const path = join(folder, "disk");
  const image = join(folder, "image");
  mkdirSync(path);
  writeFileSync(image, Buffer.alloc(16 * 1024 * 1024));
  try {
    execFileSync("mkfs.ext2", ["-q", "-F", image]);
    execFileSync("mount", ["-t", "ext2", "-o", "loop", image, path], { stdio: "pipe" });
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  return {
    path,
    [Symbol.dispose]() {
      execFileSync("umount", [path]);
      rmSync(folder, { recursive: true });
    },
  };
}
