import { promises as fs } from "node:fs";

/** What something takes on disk. */
export interface DiskUse {
  readonly bytes: number;
  readonly inodes: number;
}

/** How full a file system is. Available is what is left to everybody but root: kubelet reckons with it, too. */
export interface DiskSpace {
  readonly totalBytes: number;
  readonly availableBytes: number;
  /** 0 where the file system has no fixed number of them. */
  readonly totalInodes: number;
  readonly availableInodes: number;
}

export const nothingUsed: DiskUse = { bytes: 0, inodes: 0 };

/** Reads how full the file system at a path is. */
export async function readDiskSpace(path: string): Promise<DiskSpace> {
  const { bsize, blocks, bavail, files, ffree } = await fs.statfs(path);
  return {
    totalBytes: blocks * bsize,
    availableBytes: Math.max(0, bavail * bsize),
    totalInodes: files,
    availableInodes: ffree,
  };
}

/** What would have to go so that no more than `percent` of the file system is used, by bytes and by inodes. */
export function excessOver(percent: number, space: DiskSpace): DiskUse {
  const over = (total: number, available: number) => Math.max(0, Math.ceil(total * (1 - percent / 100) - available));
  return {
    bytes: over(space.totalBytes, space.availableBytes),
    inodes: space.totalInodes === 0 ? 0 : over(space.totalInodes, space.availableInodes),
  };
}

/** Whether there is anything in a use. */
export function isSome({ bytes, inodes }: DiskUse): boolean {
  return bytes > 0 || inodes > 0;
}

/** Adds uses up. */
export class UseSum {
  #bytes = 0;
  #inodes = 0;

  add(use: DiskUse | undefined): void {
    this.#bytes += use?.bytes ?? 0;
    this.#inodes += use?.inodes ?? 0;
  }

  get sum(): DiskUse {
    return { bytes: this.#bytes, inodes: this.#inodes };
  }
}

/** The sum of uses. */
export function sumOfUses(uses: Iterable<DiskUse>): DiskUse {
  const sum = new UseSum();
  for (const use of uses) sum.add(use);
  return sum.sum;
}
