import { constants } from "node:os";

/**
 * What went wrong, in the driver's own terms. `src/csi/status.ts` maps each kind to one gRPC code; nothing else does.
 */
export type ErrorKind =
  | "bad-input"
  | "not-found"
  | "unauthenticated"
  | "forbidden"
  | "unavailable"
  | "in-progress"
  | "no-space"
  | "corrupt"
  | "refused"
  | "conflict"
  | "cancelled"
  | "internal";

/** The one error class of the driver. Its message is for the person who reads `kubectl describe pod`: no secrets. */
export class DriverError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "DriverError";
    this.kind = kind;
  }
}

/** An error as data, to cross a thread: `errorFromData` makes it a `DriverError` again. */
export interface ErrorData {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly detail?: string;
}

/** Kind and message of any thrown value; what is no `DriverError` becomes "internal", its text kept for the log only. */
export function errorToData(reason: unknown): ErrorData {
  if (reason instanceof DriverError) {
    return { kind: reason.kind, message: reason.message, ...detailOf(reason.cause) };
  }
  return { kind: "internal", message: "unexpected driver failure, see the driver log", ...detailOf(reason) };
}

/** The `DriverError` that `errorToData` took apart. */
export function errorFromData(data: ErrorData): DriverError {
  return new DriverError(data.kind, data.message, data.detail === undefined ? undefined : new Error(data.detail));
}

/** The system error code (`ENOENT`, `ECONNREFUSED`, ...) of a thrown value or of one of its causes, if it has one. */
export function errnoOf(reason: unknown): string | undefined {
  for (let e = reason, depth = 0; e instanceof Error && depth < 8; e = e.cause, depth++) {
    if ("code" in e && typeof e.code === "string") return UNNAMED.test(e.code) ? nameOf(e) : e.code;
  }
  return undefined;
}

/** Node has no name for some errors of the system, ESTALE and EDQUOT among them, and gives their number only. */
const UNNAMED = /^Unknown system error/;

function nameOf(error: { readonly errno?: unknown; readonly code?: unknown }): string {
  const named = Object.entries(constants.errno).find(([, number]) => number === -Number(error.errno));
  return named?.[0] ?? String(error.code);
}

/** One line that describes a thrown value, causes included, for a log. */
export function describeError(reason: unknown): string {
  const parts: string[] = [];
  for (let e = reason, depth = 0; e !== undefined && depth < 8; depth++) {
    parts.push(e instanceof Error ? e.message || errnoOf(e) || e.name : String(e));
    e = e instanceof Error ? e.cause : undefined;
  }
  return parts.join(": ");
}

function detailOf(reason: unknown): { detail?: string } {
  if (reason === undefined) return {};
  return { detail: reason instanceof Error ? (reason.stack ?? reason.message) : String(reason) };
}
