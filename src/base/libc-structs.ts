/** The kernel's structs behind `Libc`, the same on x64 and arm64. */

/** What mount_setattr(2) changes: bit sets of MOUNT_ATTR_*, and one of MS_PRIVATE, MS_SLAVE, MS_SHARED or 0. */
export interface MountAttributes {
  readonly set: number;
  readonly clear: number;
  readonly propagation: number;
}

/** Where a mount is; `sharedGroup` is undefined for one that is not shared. */
export interface MountPlace {
  /** The kernel's number of it: unique among present mounts. */
  readonly mountId: number;
  readonly mountPoint: string;
  readonly sharedGroup: number | undefined;
}

/** Bits of what statx(2) is asked for. */
export const STATX = { INO: 0x100, MNT_ID_UNIQUE: 0x4000 } as const;
export const STATX_SIZE = 256;
export const MOUNT_ATTR_SIZE = 32;
const MNT_ID_REQ_SIZE = 24;
// STATMOUNT_MNT_BASIC and STATMOUNT_MNT_POINT.
const STATMOUNT_WANTED = 0x12n;
// Texts follow the numbers; a path has 4,096 bytes at most.
const STATMOUNT_TEXTS = 512;
export const STATMOUNT_SIZE = STATMOUNT_TEXTS + 4096;
const MS_SHARED = 1n << 20n;

/** struct mount_attr (mount_setattr(2)): four 64-bit words: set, clear, propagation, user namespace. */
export function packMountAttributes({ set, clear, propagation }: MountAttributes): Buffer {
  const words = new BigUint64Array([BigInt(set), BigInt(clear), BigInt(propagation), 0n]);
  return Buffer.from(words.buffer);
}

/** struct statx: the inode's number at 32, the device's major and minor at 136 and 140; put together as glibc does it. */
export function identityFrom(attributes: Buffer): { device: bigint; inode: bigint } {
  const words = new DataView(attributes.buffer, attributes.byteOffset, STATX_SIZE);
  const [major, minor] = [136, 140].map((offset) => BigInt(words.getUint32(offset, true))) as [bigint, bigint];
  const high = ((major & ~0xfffn) << 32n) | ((minor & ~0xffn) << 12n);
  return { device: high | ((major & 0xfffn) << 8n) | (minor & 0xffn), inode: words.getBigUint64(32, true) };
}

/** struct mnt_id_req for the mount that statx(2) names; undefined where it has no name that is never used again. */
export function mountRequestFrom(attributes: Buffer): Buffer | undefined {
  if ((attributes.readUInt32LE(0) & STATX.MNT_ID_UNIQUE) === 0) return undefined;
  const request = Buffer.alloc(MNT_ID_REQ_SIZE);
  request.writeUInt32LE(MNT_ID_REQ_SIZE, 0);
  attributes.copy(request, 8, 144, 152);
  request.writeBigUInt64LE(STATMOUNT_WANTED, 16);
  return request;
}

/**
 * struct statmount: what is told at 8, the number that is used again at 56, the propagation at 72, the peer group at 80, the
 * mount point's offset at 108.
 */
export function mountFrom(answer: Buffer): MountPlace | undefined {
  if ((answer.readBigUInt64LE(8) & STATMOUNT_WANTED) !== STATMOUNT_WANTED) return undefined;
  const start = STATMOUNT_TEXTS + answer.readUInt32LE(108);
  const mountPoint = answer.toString("utf8", start, answer.indexOf(0, start));
  const isShared = (answer.readBigUInt64LE(72) & MS_SHARED) !== 0n;
  const sharedGroup = isShared ? Number(answer.readBigUInt64LE(80)) : undefined;
  return { mountId: answer.readUInt32LE(56), mountPoint, sharedGroup };
}
