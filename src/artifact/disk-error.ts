import { DriverError, errnoOf } from "../base/index.ts";

/**
 * What a file call's failure means to the person who waits for an artifact or a volume: a full disk is "no-space", one
 * that is read-only or forbidden "unavailable", a path that is too long or goes in a circle "refused". Anything else stays as it is.
 * `action` is `pull R`, say. Only for calls on the data dir and the folders of kubelet: ENOSPC of mount(2), for one, is no
 * full disk.
 */
export function diskErrorFrom(error: unknown, action: string): unknown {
  if (error instanceof DriverError) return error;
  const code = errnoOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    const says = `the node's disk is full (${code}) below the driver's data dir`;
    return new DriverError("no-space", `cannot ${action}: ${says}`, error);
  }
  if (code === "EROFS") {
    const says = `the driver's data dir is read-only (${code})`;
    return new DriverError("unavailable", `cannot ${action}: ${says}`, error);
  }
  if (code === "EPERM" || code === "EACCES") {
    const says = `something below the driver's data dir may not be written (${code}): is it immutable (chattr +i), or another user's?`;
    return new DriverError("unavailable", `cannot ${action}: ${says}`, error);
  }
  if (code === "ELOOP") {
    return new DriverError("refused", `cannot ${action}: symlinks in its path lead in a circle`, error);
  }
  if (code === "ENAMETOOLONG") {
    return new DriverError("refused", `cannot ${action}: a path in it is longer than this node can hold`, error);
  }
  return error;
}
