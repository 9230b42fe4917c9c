import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { Node } from "../../gen/csi/v1/csi_pb.js";
import { type Clock, DriverError, errnoOf, type LogFields, type Logger, RecentKeys } from "../base/index.ts";
import type { PublishOutcome } from "../volume/index.ts";
import { publishOutcome } from "./publish-outcome.ts";
import { shortenMiddle } from "./short-text.ts";
import { codeName } from "./status.ts";

/** How long the same failure stays at debug after it was logged as a warning. */
const REPEAT_MS = 60_000;
/** More failures than this at once, and some are logged again. */
const REMEMBERED = 4096;
const MAX_FIELD_CHARS = 256;

/** One call that ended, as far as the log may know: never the request itself, which holds secrets. */
interface Call {
  readonly method: DescMethod;
  readonly volumeId: string;
}

/**
 * Logs one line a call: method, code, duration, volume id. What kubelet and probes ask all day is at debug when it
 * succeeds, and so is a publish of what is published already; a failure is a warning, the same one again within a
 * minute is at debug. Must see statuses: put `statusInterceptor` after it.
 */
export function createRpcLog(logger: Logger, clock: Clock): Interceptor {
  const failures = new RecentKeys(REMEMBERED);
  return (next) => async (request) => {
    const startMs = clock.monotonicMs();
    const call = request.stream ? callFrom(request.method, {}) : callFrom(request.method, request.message);
    const fields = (code: string): LogFields => ({
      method: call.method.name,
      code,
      durationMs: Math.round(clock.monotonicMs() - startMs),
      ...(call.volumeId === "" ? {} : { volumeId: shortenMiddle(call.volumeId, MAX_FIELD_CHARS) }),
    });
    try {
      const response = await next(request);
      const level = isNews(call.method, request.contextValues.get(publishOutcome)) ? "info" : "debug";
      logger[level]("call done", fields("OK"));
      return response;
    } catch (reason) {
      const status = ConnectError.from(reason);
      const level = isRepeat(call, status, failures, clock.monotonicMs()) ? "debug" : "warn";
      logger[level]("call failed", { ...fields(codeName(status.code)), ...errorFields(status) });
      throw reason;
    }
  };
}

function callFrom(method: DescMethod, message: object): Call {
  const volumeId: unknown = Reflect.get(message, "volumeId");
  return { method, volumeId: typeof volumeId === "string" ? volumeId : "" };
}

/** Whether a success changed something: a volume came or went. */
function isNews(method: DescMethod, outcome: PublishOutcome | undefined): boolean {
  return method === Node.method.nodeUnpublishVolume || outcome === "published";
}

/** Whether this failure was a warning within the last minute; if not, it is one now. */
function isRepeat(call: Call, status: ConnectError, failures: RecentKeys, nowMs: number): boolean {
  const key = [call.method.name, call.volumeId, codeName(status.code), status.rawMessage];
  const lastMs = failures.get(...key);
  if (lastMs !== undefined && nowMs - lastMs < REPEAT_MS) return true;
  failures.note(nowMs, ...key);
  return false;
}

/** The message as the caller got it; of a fault of the driver also where it happened, of a system call its errno. */
function errorFields(status: ConnectError): LogFields {
  const cause: unknown = status.cause;
  const unexpected = status.code === Code.Internal && cause instanceof Error ? cause : undefined;
  const inner: unknown = unexpected instanceof DriverError ? unexpected.cause : undefined;
  const trace = inner instanceof Error ? inner.stack : unexpected?.stack;
  return { error: status.rawMessage, errno: errnoOf(cause), trace };
}
