import { join } from "node:path";
import { createMounter, type Mounter } from "../../src/mount/index.ts";
import type { MountArea } from "./mount-area.ts";

/** Each way of mounting, as the driver chooses it by the kernel's release. */
export const mounterImplementations: readonly { name: string; create: (area: MountArea) => Mounter }[] = [
  ["Linux 5.12 and later", "5.12.0"],
  ["Linux 4.18 to 5.11", "5.11.22-legacy"],
].map(([name = "", kernelRelease = ""]) => ({
  name: `mounter for ${name}`,
  create: ({ libc, path }) => {
    // Kernels that old have no statmount(2).
    const itsLibc = kernelRelease.endsWith("legacy") ? { ...libc, mountOf: () => undefined } : libc;
    return createMounter({ libc: itsLibc, kernelRelease, stagingFolder: join(path, "staging") });
  },
}));
