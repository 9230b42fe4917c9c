import { DriverError } from "../base/index.ts";

/** The same failure, opened by what was being done: for an error that knows a layer, an entry or a file only. */
export function errorDuring(action: string, error: unknown): unknown {
  if (!(error instanceof DriverError)) return error;
  return new DriverError(error.kind, `cannot ${action}: ${error.message}`, error.cause);
}
