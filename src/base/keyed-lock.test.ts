import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedLock } from "./keyed-lock.ts";

/** Work that says when it begins and ends when it is told to. */
function work(name: string, seen: string[]) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const run = async () => {
    seen.push(name);
    return promise;
  };
  return { run, resolve, reject };
}

/** Lets everything run that can. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("holders of one key come one after the other, in order; other keys do not wait", async () => {
  const lock = new KeyedLock();
  const seen: string[] = [];
  const [a1, a2, a3, b1] = ["a1", "a2", "a3", "b1"].map((name) => work(name, seen));
  const runs = [lock.run("a", a1!.run), lock.run("a", a2!.run), lock.run("a", a3!.run), lock.run("b", b1!.run)];
  await settle();
  assert.deepEqual(seen, ["a1", "b1"]);
  assert.deepEqual([lock.isHeld("a"), lock.isHeld("c")], [true, false]);
  a1!.resolve("one");
  await settle();
  assert.deepEqual(seen, ["a1", "b1", "a2"]);
  for (const { resolve } of [a2!, a3!, b1!]) resolve("more");
  assert.deepEqual(await Promise.all(runs), ["one", "more", "more", "more"]);
  assert.deepEqual(seen, ["a1", "b1", "a2", "a3"]);
  assert.equal(lock.isHeld("a"), false);
});

test("work that fails lets the next one in", async () => {
  const lock = new KeyedLock();
  const failed = lock.run("a", () => Promise.reject(new Error("no")));
  const thrown = lock.run("a", () => {
    throw new Error("at once");
  });
  const next = lock.run("a", async () => "next");
  await assert.rejects(failed, /no/);
  await assert.rejects(thrown, /at once/);
  assert.equal(await next, "next");
});

test("who gives up waiting does not hold it, now or later", async () => {
  const lock = new KeyedLock();
  const seen: string[] = [];
  const [first, second, third] = ["1", "2", "3"].map((name) => work(name, seen));
  const controller = new AbortController();
  const holding = lock.run("a", first!.run);
  const givenUp = lock.run("a", second!.run, controller.signal);
  const waiting = lock.run("a", third!.run);
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(givenUp, reason);
  await assert.rejects(lock.run("a", second!.run, AbortSignal.abort(reason)), reason);
  first!.resolve("");
  third!.resolve("");
  await Promise.all([holding, waiting]);
  assert.deepEqual(seen, ["1", "3"]);
  assert.equal(await lock.run("a", async () => "free"), "free");
});

test("a signal that fires while it is held changes nothing", async () => {
  const lock = new KeyedLock();
  const controller = new AbortController();
  const held = work("x", []);
  const run = lock.run("a", held.run, controller.signal);
  await settle();
  controller.abort();
  held.resolve("done");
  assert.equal(await run, "done");
});
