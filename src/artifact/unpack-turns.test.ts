import assert from "node:assert/strict";
import { test } from "node:test";
import { UnpackTurns } from "./unpack-turns.ts";

/** Layers of pulls: each takes a turn for each of its parts, which are there from the start. */
function use() {
  const turns = new UnpackTurns();
  const done: string[] = [];
  const unpack = async (name: string, pull: string, parts: number, isAbandoned = false) => {
    const taker = { pull, isAbandoned: () => isAbandoned };
    turns.begin(taker);
    // All layers are there when the first one goes on.
    await Promise.resolve();
    for (let part = 0; part < parts; part++) {
      await turns.take(taker);
      done.push(name);
    }
    turns.end(taker);
  };
  return { turns, done, unpack };
}

test("of a pull's layers the one that began first goes on", async () => {
  const { done, unpack } = use();
  await Promise.all([unpack("a", "p", 3), unpack("b", "p", 2), unpack("c", "p", 2)]);
  assert.equal(done.join(""), "aaabbcc");
});

test("the next one goes on while the first one waits for bytes", async () => {
  const { turns, done, unpack } = use();
  const first = { pull: "p", isAbandoned: () => false };
  turns.begin(first);
  await unpack("b", "p", 2);
  await turns.take(first);
  assert.equal(done.join(""), "bb");
});

test("pulls take turns, however many layers each has", async () => {
  const { done, unpack } = use();
  await Promise.all([unpack("a", "p", 3), unpack("b", "p", 1), unpack("x", "q", 3), unpack("m", "r", 3)]);
  assert.equal(done.join(""), "axmaxmaxmb");
});

test("what was abandoned goes first: somebody waits until it ends", async () => {
  const { done, unpack } = use();
  await Promise.all([unpack("a", "p", 2), unpack("b", "p", 1), unpack("c", "p", 1, true)]);
  assert.equal(done.join(""), "caab");
});

test("who is alone never waits", () => {
  const { turns } = use();
  const taker = { pull: "p", isAbandoned: () => false };
  turns.begin(taker);
  assert.equal(turns.take(taker), undefined);
});
