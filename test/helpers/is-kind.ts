import assert from "node:assert/strict";
import { DriverError, type ErrorKind } from "../../src/base/index.ts";

/** For `assert.rejects` and the like: a failure of the driver of this kind, whose message says this. */
export function isKind(kind: ErrorKind, says: RegExp = /./): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof DriverError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, says);
    return true;
  };
}
