import { DriverError, errnoOf, type Libc } from "../base/index.ts";
import { MS } from "./kernel-flags.ts";
import { mountError } from "./mount-errors.ts";
import { mountCallFlags } from "./mount-flags.ts";
import { mountTable } from "./mount-lookup.ts";
import { escapeOverlayPath } from "./mount-table.ts";
import { withTarget } from "./mount-target.ts";
import type { OverlayOptions } from "./mounter.ts";
import { pathOfHandle, withPathHandle } from "./path-handle.ts";
import { unmount } from "./unmount.ts";

/** mount(2) reads one page and ends it with a NUL. */
const MAX_OPTION_BYTES = 4095;

const HINT = "set readOnly: true or give the data dir a hostPath";

/** What the kernel's overlay can do. */
export interface OverlayFeatures {
  /** Linux 4.19: chown and chmod copy no data up. Older kernels refuse the option. */
  readonly metacopy: boolean;
}

/** `Mounter.overlay` by mount(2), which sets all flags of a new file system before it is visible. */
export async function mountOverlay(libc: Libc, features: OverlayFeatures, options: OverlayOptions): Promise<void> {
  const data = overlayData(features, options);
  const flags = mountCallFlags(options.flags, false);
  try {
    await withTarget(options.target, (fd) =>
      libc.mount({ source: "overlay", target: pathOfHandle(fd), fsType: "overlay", flags, data }),
    );
  } catch (error) {
    throw await overlayError(options, error);
  }
  await assertWritable(libc, options.target);
}

/**
 * `Mounter.refreshOverlay`: a remount that changes nothing has the kernel drop all that it remembers of files which nobody
 * has open (reconfigure_super, fs/super.c); the overlay itself ignores its options then.
 */
export async function refreshOverlay(libc: Libc, target: string): Promise<void> {
  const options = (await mountTable.mountHolding(target))?.options ?? [];
  // A remount clears the flags that it does not name, access times aside.
  const named = { ro: MS.RDONLY, nosuid: MS.NOSUID, nodev: MS.NODEV, noexec: MS.NOEXEC };
  const flags = Object.entries(named).reduce(
    (sum, [name, flag]) => (options.includes(name) ? sum | flag : sum),
    MS.REMOUNT as number,
  );
  try {
    await withPathHandle(target, { follow: false, folder: true }, (fd) =>
      libc.mount({ target: pathOfHandle(fd), flags }),
    );
  } catch (error) {
    throw mountError(`refresh the overlay at ${target}`, error);
  }
}

/**
 * The options, all said outright because a node may have set other defaults. Indexed or exported overlays would join
 * hard-linked files that the cache keeps apart.
 */
function overlayData(features: OverlayFeatures, { lower, upper, work }: OverlayOptions): string {
  const folders = { lowerdir: lower, upperdir: upper, workdir: work };
  const data = [
    ...Object.entries(folders).map(([name, path]) => `${name}=${escapeOverlayPath(path)}`),
    "index=off",
    "nfs_export=off",
    "redirect_dir=on",
    "xino=off",
    ...(features.metacopy ? ["metacopy=on"] : []),
  ].join(",");
  const length = Buffer.byteLength(data);
  if (length <= MAX_OPTION_BYTES) return data;
  const says = `its options have ${length} bytes, the kernel takes ${MAX_OPTION_BYTES}: choose a shorter data dir`;
  throw new DriverError("refused", `cannot mount an overlay: ${says}`);
}

async function overlayError({ target, upper }: OverlayOptions, error: unknown): Promise<DriverError> {
  const failed = `cannot mount an overlay at ${target}`;
  switch (error instanceof DriverError ? "" : errnoOf(error)) {
    case "EINVAL":
    case "EOPNOTSUPP": {
      const fsType = (await mountTable.mountHolding(upper))?.fsType ?? "unknown";
      const says = `the data dir's file system (${fsType}) cannot hold an upper layer: ${HINT}`;
      return new DriverError("refused", `${failed}: ${says}`, error);
    }
    case "ENODEV":
      return new DriverError(
        "refused",
        `${failed}: the node's kernel has no overlay file system: set readOnly: true`,
        error,
      );
    default:
      return mountError(`mount an overlay at ${target}`, error);
  }
}

/** An overlay that cannot make its work folder (a full disk, say) comes up read-only, without an error. */
async function assertWritable(libc: Libc, target: string): Promise<void> {
  // Not by the table of mounts, which is long on some nodes, nor by access(2), which Deno lacks: it looks at the mode only.
  const isReadOnly = await withPathHandle(target, { follow: false, folder: true }, (fd) => libc.isReadOnly(fd));
  if (!isReadOnly) return;
  await unmount(libc, target, "detach");
  const says = "it came up read-only: the data dir's file system is full or read-only";
  throw new DriverError("no-space", `cannot mount an overlay at ${target}: ${says}`);
}
