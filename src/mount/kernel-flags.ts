/** Numbers of the kernel's mount interface (include/uapi/linux/mount.h), the same on x64 and arm64. */

/** Flags of mount(2). */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  NOATIME: 1 << 10,
  NODIRATIME: 1 << 11,
  BIND: 1 << 12,
  PRIVATE: 1 << 18,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
} as const;

/** Attributes of mount_setattr(2). */
export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  /** The field that holds relatime (0), noatime or strictatime. */
  ATIME_MASK: 0x70,
  NODIRATIME: 0x80,
} as const;

/** Flags of open_tree(2). */
export const OPEN_TREE = {
  CLONE: 0x1,
  CLOEXEC: 0o2000000,
  /** AT_SYMLINK_NOFOLLOW */
  NOFOLLOW: 0x100,
} as const;

/** Flags of umount2(2). */
export const UMOUNT = { DETACH: 2, NOFOLLOW: 8 } as const;
