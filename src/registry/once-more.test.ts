import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError } from "../base/index.ts";
import { onceMoreIfCorrupt } from "./once-more.ts";

test("wrong bytes are asked for once more, from the start", async () => {
  const happened: string[] = [];
  const answers = [new DriverError("corrupt", "first"), undefined];
  const request = () => {
    happened.push("request");
    const error = answers.shift();
    return error === undefined ? Promise.resolve("right") : Promise.reject(error);
  };
  const restart = async () => void happened.push("restart");
  assert.equal(await onceMoreIfCorrupt(request, restart), "right");
  assert.deepEqual(happened, ["request", "restart", "request"]);
});

test("twice wrong is wrong, and other failures are not repeated", async () => {
  for (const [kind, times] of [
    ["corrupt", 2],
    ["unavailable", 1],
  ] as const) {
    let asked = 0;
    const request = () => Promise.reject(new DriverError(kind, String(++asked)));
    await assert.rejects(onceMoreIfCorrupt(request), { kind, message: String(times) });
  }
});
