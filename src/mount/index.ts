export { createBoundedMounter, hangs } from "./bounded-mounter.ts";
export { createMounter, type MounterOptions } from "./create-mounter.ts";
export {
  type AccessTimes,
  defaultMountFlags,
  type MountFlags,
  type ParsedMountFlags,
  parseMountFlags,
} from "./mount-flags.ts";
export { hasUpperDir, keepsMountsInside, type MountEntry, upperDirOf } from "./mount-table.ts";
export { HeldFolder } from "./path-handle.ts";
export type { BindOptions, FolderMount, MountAt, Mounter, OverlayOptions, PathLook, UnmountHow } from "./mounter.ts";
