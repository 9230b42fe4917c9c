import assert from "node:assert/strict";
import { test } from "node:test";
import { allEnded } from "./all-ended.ts";

test("a failure is told when all have ended, and the first in order counts", async () => {
  const slow = Promise.withResolvers<void>();
  let told = false;
  const ended = assert.rejects(allEnded([slow.promise, Promise.reject(new Error("second"))]), /first/);
  void ended.then(() => {
    told = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(told, false);
  slow.reject(new Error("first"));
  await ended;
  await allEnded([Promise.resolve(1), Promise.resolve("x")]);
});
