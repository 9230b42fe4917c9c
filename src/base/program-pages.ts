import { promises as fs } from "node:fs";
import type { Libc } from "./libc.ts";

/** A part of the process's memory. */
export interface MemoryRange {
  readonly address: bigint;
  readonly length: bigint;
}

/**
 * Takes the pages of the program's file out of the process's memory: most of them only starting needed. Those that are
 * used again come back from the page cache.
 */
export async function unmapProgramPages(libc: Pick<Libc, "unmapPages">): Promise<void> {
  const [smaps, program] = await Promise.all([fs.readFile("/proc/self/smaps", "utf8"), fs.readlink("/proc/self/exe")]);
  for (const range of unchangedRanges(smaps, program)) libc.unmapPages(range);
}

/**
 * Where a file is mapped and nothing was ever written to, by the text of /proc/<pid>/smaps (proc_pid_smaps(5)): what was
 * changed when the program was loaded would come back as it is in the file, so those mappings are left out.
 */
export function unchangedRanges(smaps: string, file: string): MemoryRange[] {
  const mappings = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return mappings.flatMap((mapping) => {
    const [, from, to, name] = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p (?:\S+ +){3}(.+)\n/.exec(mapping) ?? [];
    if (name !== file || !/^Anonymous: +0 kB$/m.test(mapping)) return [];
    const address = BigInt(`0x${from}`);
    return { address, length: BigInt(`0x${to}`) - address };
  });
}
