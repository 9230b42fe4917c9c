import { DriverError, type Libc } from "../base/index.ts";
import { createLegacyMounter } from "./legacy-mounter.ts";
import { createLinuxMounter } from "./linux-mounter.ts";
import type { Mounter } from "./mounter.ts";

/** What the choice of a mounter needs. */
export interface MounterOptions {
  readonly libc: Libc;
  /** As uname(2) gives it: `5.15.0-91-generic`. */
  readonly kernelRelease: string;
  /** Used from Linux 4.18 to 5.11 only: a folder of its own, made when needed, never to be emptied by others. */
  readonly stagingFolder: string;
}

/** The mounter for the running kernel. "refused" for one older than Linux 4.18. */
export function createMounter({ libc, kernelRelease, stagingFolder }: MounterOptions): Mounter {
  const version = /^(\d+)\.(\d+)/.exec(kernelRelease);
  const major = Number(version?.[1]);
  const minor = Number(version?.[2]);
  const isAtLeast = (wantedMajor: number, wantedMinor: number) =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  if (isAtLeast(5, 12)) return createLinuxMounter(libc);
  if (isAtLeast(4, 18)) return createLegacyMounter({ libc, stagingFolder, overlay: { metacopy: isAtLeast(4, 19) } });
  throw new DriverError("refused", `the node's kernel is ${kernelRelease}: Linux 4.18 or later is needed`);
}
