import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { DriverError, type ErrorKind } from "../base/index.ts";
import { shortenMiddle } from "./short-text.ts";

/** Kubernetes cuts event messages at 1,024 characters; kubelet adds some of its own. */
const MAX_MESSAGE_CHARS = 1000;

/** The only place where the driver's errors become gRPC codes: a new kind without a code does not compile here. */
const codeOf = {
  "bad-input": Code.InvalidArgument,
  "not-found": Code.NotFound,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  unavailable: Code.Unavailable,
  "in-progress": Code.Aborted,
  "no-space": Code.ResourceExhausted,
  corrupt: Code.DataLoss,
  refused: Code.FailedPrecondition,
  conflict: Code.AlreadyExists,
  cancelled: Code.Canceled,
  internal: Code.Internal,
} as const satisfies Record<ErrorKind, Code>;

/**
 * The gRPC status for anything a handler threw. What is no `DriverError` is a fault of the driver: its text stays out
 * of the answer, as it may hold anything, and goes to the log as the status' cause.
 */
export function statusFromError(reason: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  if (reason instanceof DriverError) {
    const message = shortenMiddle(visible(reason.message), MAX_MESSAGE_CHARS);
    return new ConnectError(message, codeOf[reason.kind], undefined, undefined, reason);
  }
  if (reason instanceof Error && reason.name === "AbortError") {
    return new ConnectError("the caller went away", Code.Canceled, undefined, undefined, reason);
  }
  return new ConnectError("unexpected driver failure, see the driver log", Code.Internal, undefined, undefined, reason);
}

/** What artifacts and registries say may hold control characters, which would garble a terminal or a log. */
function visible(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/**
 * Makes every failure of a handler the status of `statusFromError`. A call that was given up because its signal fired
 * gets the signal's own status where that tells why: a server that stops says UNAVAILABLE, a deadline that it passed. A
 * stream that broke says nothing of that kind: its caller went away.
 */
export const statusInterceptor: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (reason) {
    const status = statusFromError(reason);
    const cause: unknown = request.signal.reason;
    throw status.code === Code.Canceled && cause instanceof ConnectError && tellsWhy.has(cause.code) ? cause : status;
  }
};

const tellsWhy: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded]);

/** The code as gRPC writes it: `FAILED_PRECONDITION`. */
export function codeName(code: Code): string {
  return (Code[code] ?? String(code)).replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
