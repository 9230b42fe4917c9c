import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { test } from "node:test";
import { DriverError, describeError, errnoOf, errorFromData, errorToData } from "./errors.ts";

const missing = await stat("/no/such/file").catch((error: unknown) => error);

test("a driver error has a kind, a message and maybe a cause", () => {
  const cause = new Error("why");
  const error = new DriverError("refused", "no", cause);
  assert.deepEqual([error.name, error.kind, error.message, error.cause], ["DriverError", "refused", "no", cause]);
  assert.ok(error instanceof Error && error.stack?.includes("errors.test.ts"));
  assert.equal("cause" in new DriverError("refused", "no"), false);
});

/** As libuv gives it. */
function unnamed(errno: number): Error {
  const code = `Unknown system error -${errno}`;
  return Object.assign(new Error(code), { code, errno: -errno });
}

const errnos: [name: string, reason: unknown, errno: string | undefined][] = [
  ["a system error", missing, "ENOENT"],
  ["a cause", new DriverError("internal", "x", missing), "ENOENT"],
  ["a cause's cause", new Error("x", { cause: new Error("y", { cause: missing }) }), "ENOENT"],
  ["the nearest one", Object.assign(new Error("x", { cause: missing }), { code: "EIO" }), "EIO"],
  ["a code that is a number", Object.assign(new Error("x"), { code: 5 }), undefined],
  ["what Node has no name for", unnamed(116), "ESTALE"],
  ["a full quota", new DriverError("internal", "x", unnamed(122)), "EDQUOT"],
  ["what nobody has a name for", unnamed(9999), "Unknown system error -9999"],
  ["none", new Error("x"), undefined],
  ["no error", { code: "EIO" }, undefined],
  ["nothing", undefined, undefined],
  ["null", null, undefined],
];
for (const [name, reason, errno] of errnos) {
  test(`errno of ${name}`, () => assert.equal(errnoOf(reason), errno));
}

const circle = new Error("round");
circle.cause = circle;

const described: [name: string, reason: unknown, text: string][] = [
  ["an error", new Error("x"), "x"],
  ["causes", new DriverError("internal", "a", new Error("b", { cause: "c" })), "a: b: c"],
  ["a text", "just text", "just text"],
  ["a number", 7, "7"],
  ["null", null, "null"],
  [
    "an error that says nothing but a code",
    Object.assign(new AggregateError([]), { code: "ECONNREFUSED" }),
    "ECONNREFUSED",
  ],
  ["an error that says nothing", new TypeError(), "TypeError"],
  ["a circle of causes", circle, Array(8).fill("round").join(": ")],
];
for (const [name, reason, text] of described) {
  test(`in one line: ${name}`, () => assert.equal(describeError(reason), text));
}

test("an error crosses a thread as data", () => {
  const data = structuredClone(errorToData(new DriverError("corrupt", "wrong bytes", missing)));
  assert.deepEqual([data.kind, data.message], ["corrupt", "wrong bytes"]);
  const error = errorFromData(data);
  assert.ok(error instanceof DriverError);
  assert.deepEqual([error.kind, error.message], ["corrupt", "wrong bytes"]);
  assert.match(describeError(error), /ENOENT: no such file/);
});

const foreign: [name: string, reason: unknown, detail: RegExp][] = [
  ["an error", new Error("a secret"), /^Error: a secret\n/],
  ["an error without a stack", Object.assign(new Error("a secret"), { stack: undefined }), /^a secret$/],
  ["a text", "a secret", /^a secret$/],
  ["null", null, /^null$/],
];
for (const [name, reason, detail] of foreign) {
  test(`what is no driver error crosses as "internal", its text for the log only: ${name}`, () => {
    const data = errorToData(reason);
    assert.deepEqual([data.kind, data.message], ["internal", "unexpected driver failure, see the driver log"]);
    assert.match(data.detail ?? "", detail);
  });
}

test("no cause is no detail", () => {
  assert.deepEqual(errorToData(new DriverError("refused", "no")), { kind: "refused", message: "no" });
  assert.equal("cause" in errorFromData({ kind: "refused", message: "no" }), false);
  assert.equal(errorToData(undefined).detail, undefined);
});
