import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { DriverError, type ErrorKind } from "../base/index.ts";
import { shortenMiddle, shortenToBytes } from "./short-text.ts";
import { statusFromError } from "./status.ts";

const codes: Readonly<Record<ErrorKind, string>> = {
  "bad-input": "InvalidArgument",
  "not-found": "NotFound",
  unauthenticated: "Unauthenticated",
  forbidden: "PermissionDenied",
  unavailable: "Unavailable",
  "in-progress": "Aborted",
  "no-space": "ResourceExhausted",
  corrupt: "DataLoss",
  refused: "FailedPrecondition",
  conflict: "AlreadyExists",
  cancelled: "Canceled",
  internal: "Internal",
};
for (const [kind, code] of Object.entries(codes)) {
  test(`${kind} is ${code}`, () => {
    const status = statusFromError(new DriverError(kind as ErrorKind, "why"));
    assert.deepEqual([Code[status.code], status.rawMessage], [code, "why"]);
  });
}

test("what is no DriverError keeps its text to itself, and is the cause", () => {
  const fault = new TypeError("token=hunter2");
  const status = statusFromError(fault);
  assert.equal(status.code, Code.Internal);
  assert.doesNotMatch(status.message, /hunter2/);
  assert.equal(status.cause, fault);
  assert.equal(statusFromError("thrown text").code, Code.Internal);
});

test("an abort is CANCELED and a status stays itself", () => {
  assert.equal(statusFromError(new DOMException("gone", "AbortError")).code, Code.Canceled);
  const status = new ConnectError("late", Code.DeadlineExceeded);
  assert.equal(statusFromError(status), status);
});

test("control characters of an artifact's names are shown, not sent", () => {
  const status = statusFromError(new DriverError("not-found", "it has linux/\u001b[31mred\n\u0085"));
  assert.equal(status.rawMessage, "it has linux/\\x1b[31mred\\x0a\\x85");
});

test("long messages keep both ends and stay within 1,000 characters", () => {
  const status = statusFromError(new DriverError("refused", `begin ${"x".repeat(5000)} end`));
  assert.equal(status.rawMessage.length, 1000);
  assert.match(status.rawMessage, /^begin x+…x+ end$/);
});

test("shortening leaves well-formed text", () => {
  assert.equal(shortenMiddle("short", 5), "short");
  assert.ok(shortenMiddle("😀".repeat(20), 10).isWellFormed());
  assert.ok(shortenMiddle("a\ud800", 10).isWellFormed());
  assert.equal(shortenMiddle("0123456789", 5), "01…89");
  assert.equal(shortenToBytes("é".repeat(10), 20), "é".repeat(10));
  assert.ok(Buffer.byteLength(shortenToBytes("€".repeat(100), 32)) <= 32);
});
