import assert from "node:assert/strict";
import { test } from "node:test";
import { isKind } from "../../test/helpers/is-kind.ts";
import { DriverError, type ErrorKind } from "../base/index.ts";
import { diskErrorFrom } from "./disk-error.ts";

const rows: readonly (readonly [code: string, kind: ErrorKind, says: RegExp])[] = [
  ["ENOSPC", "no-space", /^cannot pull R: the node's disk is full \(ENOSPC\)/],
  ["EDQUOT", "no-space", /disk is full \(EDQUOT\)/],
  ["EIO", "unavailable", /^cannot pull R: the node's disk fails \(EIO\), its kernel log tells more$/],
  ["ESHUTDOWN", "unavailable", /the node's disk fails \(ESHUTDOWN\)/],
  ["EROFS", "unavailable", /data dir is read-only \(EROFS\)/],
  ["EPERM", "unavailable", /may not be written \(EPERM\): is it immutable/],
  ["EACCES", "unavailable", /may not be written \(EACCES\)/],
  // Somebody put a file in a folder's place, or mounted a file system of its own on tmp/.
  ["ENOTDIR", "unavailable", /must be a folder is none \(ENOTDIR\)/],
  ["EXDEV", "unavailable", /parts of the driver's data dir are on other file systems \(EXDEV\)/],
  ["ELOOP", "refused", /symlinks in its path lead in a circle/],
  ["ENAMETOOLONG", "refused", /longer than this node can hold/],
];
for (const [code, kind, says] of rows) {
  test(`${code} of a file call is told`, () => {
    const cause = Object.assign(new Error("open"), { code });
    const error = diskErrorFrom(cause, "pull R");
    assert.ok(isKind(kind, says)(error));
    assert.equal((error as DriverError).cause, cause);
  });
}

test("what is told already, or is the driver's own fault, stays as it is", () => {
  for (const error of [new DriverError("corrupt", "x"), Object.assign(new Error("close"), { code: "EBADF" }), "text"])
    assert.equal(diskErrorFrom(error, "pull R"), error);
});
