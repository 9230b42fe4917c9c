import { DriverError } from "../base/index.ts";
import { MOUNT_ATTR, MS } from "./kernel-flags.ts";

/** How access times are kept; `inherit`: as on the mount that a bind's source lies on (an overlay: relatime). */
export type AccessTimes = "inherit" | "relatime" | "noatime" | "strictatime";

/** What a pod may choose of a mount, besides read-only. */
export interface MountFlags {
  /** False inherits, too: a bind of a folder on a noexec mount is noexec. */
  readonly noexec: boolean;
  readonly accessTimes: AccessTimes;
  readonly nodiratime: boolean;
}

/** The flags of a volume that asks for none. */
export const defaultMountFlags: MountFlags = { noexec: false, accessTimes: "inherit", nodiratime: false };

/** What a request's mount flags say. */
export interface ParsedMountFlags {
  readonly flags: MountFlags;
  readonly readOnly: boolean;
}

type Change = Partial<MountFlags> & { readonly readOnly?: boolean };

/** Each flag that is honoured. Those without an effect say what is so in any case. */
const changes: ReadonlyMap<string, Change> = new Map<string, Change>([
  ["ro", { readOnly: true }],
  ["rw", { readOnly: false }],
  ["noexec", { noexec: true }],
  ["exec", { noexec: false }],
  ["noatime", { accessTimes: "noatime" }],
  ["relatime", { accessTimes: "relatime" }],
  ["strictatime", { accessTimes: "strictatime" }],
  ["atime", { accessTimes: "inherit" }],
  ["nodiratime", { nodiratime: true }],
  ["diratime", { nodiratime: false }],
  ["nosuid", {}],
  ["nodev", {}],
  ["bind", {}],
  ["async", {}],
  ["defaults", {}],
]);

/**
 * Parses the mount_flags of a volume capability (CSI v1, VolumeCapability.MountVolume): mount(8)'s names, one or several
 * (comma-separated) an element, the last of two that contradict counts.
 * Throws "bad-input" that names all unknown flags (without what follows a `=`: it may be a secret).
 */
export function parseMountFlags(mountFlags: readonly string[]): ParsedMountFlags {
  const names = mountFlags.flatMap((element) => element.split(",").map((name) => name.trim()));
  const said = names.filter((name) => name !== "");
  const unknown = said.filter((name) => !changes.has(name)).map((name) => name.replace(/=.*/s, "="));
  if (unknown.length > 0) {
    const allowed = [...changes.keys()].join(", ");
    throw new DriverError("bad-input", `unknown mount flags ${unknown.join(", ")}: allowed are ${allowed}`);
  }
  const initial: Required<Change> = { ...defaultMountFlags, readOnly: false };
  const { readOnly, ...flags } = Object.assign(initial, ...said.map((name) => changes.get(name)));
  return { flags, readOnly };
}

const attributeOfAccessTimes = {
  inherit: 0,
  relatime: 0,
  noatime: MOUNT_ATTR.NOATIME,
  strictatime: MOUNT_ATTR.STRICTATIME,
} as const satisfies Record<AccessTimes, number>;

const flagOfAccessTimes = {
  inherit: 0,
  relatime: MS.RELATIME,
  noatime: MS.NOATIME,
  strictatime: MS.STRICTATIME,
} as const satisfies Record<AccessTimes, number>;

/** What mount_setattr(2) must set and clear. Access times are one field: it has to be cleared to be set. */
export function attributesFromFlags(flags: MountFlags, readOnly: boolean): { set: number; clear: number } {
  let set = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | attributeOfAccessTimes[flags.accessTimes];
  if (readOnly) set |= MOUNT_ATTR.RDONLY;
  if (flags.noexec) set |= MOUNT_ATTR.NOEXEC;
  if (flags.nodiratime) set |= MOUNT_ATTR.NODIRATIME;
  return { set, clear: flags.accessTimes === "inherit" ? 0 : MOUNT_ATTR.ATIME_MASK };
}

/** The same for mount(2). */
export function mountCallFlags(flags: MountFlags, readOnly: boolean): number {
  let bits = MS.NOSUID | MS.NODEV | flagOfAccessTimes[flags.accessTimes];
  if (readOnly) bits |= MS.RDONLY;
  if (flags.noexec) bits |= MS.NOEXEC;
  if (flags.nodiratime) bits |= MS.NODIRATIME;
  return bits;
}
