import { DriverError, type ErrorKind, errnoOf } from "../base/index.ts";

/** What a person can do about a code, and the kind it gives. The rest is the driver's own fault. */
const causes: ReadonlyMap<string, { readonly kind: ErrorKind; readonly says: string }> = new Map([
  ["EPERM", { kind: "refused", says: "not permitted: the driver must run privileged (CAP_SYS_ADMIN)" }],
  ["EACCES", { kind: "refused", says: "not permitted: the driver must run privileged (CAP_SYS_ADMIN)" }],
  ["ENOSYS", { kind: "refused", says: "the kernel or a seccomp profile does not offer the system call" }],
  ["ENOSPC", { kind: "no-space", says: "the node's mount limit is reached: raise sysctl fs.mount-max" }],
  ["EBUSY", { kind: "unavailable", says: "in use" }],
  ["ENOMEM", { kind: "unavailable", says: "out of kernel memory" }],
  ["EIO", { kind: "unavailable", says: "input/output error" }],
  ["ENOTCONN", { kind: "unavailable", says: "the file system there is not connected" }],
  ["ESTALE", { kind: "unavailable", says: "the file system there is stale" }],
  ["EMFILE", { kind: "unavailable", says: "too many open files" }],
  ["ENFILE", { kind: "unavailable", says: "too many open files on the node" }],
]);

/** A failed mount call as a `DriverError`; one that is one already stays as it is. `action` is "bind A to B", say. */
export function mountError(action: string, error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const cause = causes.get(errnoOf(error) ?? "");
  if (cause !== undefined) return new DriverError(cause.kind, `cannot ${action}: ${cause.says}`, error);
  return new DriverError(
    "internal",
    `cannot ${action}: ${error instanceof Error ? error.message : String(error)}`,
    error,
  );
}
