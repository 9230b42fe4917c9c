import { DriverError, type ErrorKind, errnoOf } from "../base/index.ts";

/** What a code of a file call means, and the kind it gives. What is not here is the driver's own fault. */
const meanings: ReadonlyMap<string, { readonly kind: ErrorKind; readonly says: string }> = new Map([
  ["ENOSPC", { kind: "no-space", says: "the node's disk is full (ENOSPC) below the driver's data dir" }],
  ["EDQUOT", { kind: "no-space", says: "the node's disk is full (EDQUOT) below the driver's data dir" }],
  ["EIO", { kind: "unavailable", says: fails("EIO") }],
  ["ESHUTDOWN", { kind: "unavailable", says: fails("ESHUTDOWN") }],
  ["EROFS", { kind: "unavailable", says: "the driver's data dir is read-only (EROFS)" }],
  ["EPERM", { kind: "unavailable", says: mayNotBeWritten("EPERM") }],
  ["EACCES", { kind: "unavailable", says: mayNotBeWritten("EACCES") }],
  ["ENOTDIR", { kind: "unavailable", says: "something that must be a folder is none (ENOTDIR)" }],
  ["EXDEV", { kind: "unavailable", says: "parts of the driver's data dir are on other file systems (EXDEV)" }],
  ["ELOOP", { kind: "refused", says: "symlinks in its path lead in a circle" }],
  ["ENAMETOOLONG", { kind: "refused", says: "a path in it is longer than this node can hold" }],
]);

/**
 * What a file call's failure means to the person who waits for an artifact or a volume: a full disk is "no-space", one
 * that fails, is read-only or may not be written "unavailable", a path that is too long or goes in a circle "refused".
 * Anything else stays as it is. `action` is `pull R`, say. Only for calls on the data dir and the folders of kubelet:
 * ENOSPC of mount(2), for one, is no full disk.
 */
export function diskErrorFrom(error: unknown, action: string): unknown {
  if (error instanceof DriverError) return error;
  const meaning = meanings.get(errnoOf(error) ?? "");
  return meaning === undefined ? error : new DriverError(meaning.kind, `cannot ${action}: ${meaning.says}`, error);
}

function fails(code: string): string {
  return `the node's disk fails (${code}), its kernel log tells more`;
}

function mayNotBeWritten(code: string): string {
  return `something below the driver's data dir may not be written (${code}): is it immutable (chattr +i), or another user's?`;
}
