import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type PlaceSeeker, UnpackPlaces } from "./unpack-places.ts";

/** Layers that seek places, and what became of them. */
function use() {
  const places = new UnpackPlaces();
  const inside: string[] = [];
  const gaveWay: string[] = [];
  const seekers = new Map<string, PlaceSeeker & { isComplete: boolean }>();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const enter = async (name: string, is: { isZstd?: boolean; isComplete?: boolean } = {}) => {
    const abort = new AbortController();
    const giveWay = () => void gaveWay.push(name);
    const seeker = { isZstd: is.isZstd ?? false, isComplete: is.isComplete ?? false, giveWay };
    seekers.set(name, seeker);
    const outcome = places.enter(seeker, abort.signal).then(() => void inside.push(name));
    outcome.catch(() => undefined);
    await turn();
    return { outcome, cancel: (reason: Error) => abort.abort(reason) };
  };
  const of = (name: string) => seekers.get(name) ?? assert.fail(name);
  const leave = async (name: string) => {
    places.leave(of(name));
    inside.splice(inside.indexOf(name), 1);
    await turn();
  };
  const complete = async (name: string) => {
    of(name).isComplete = true;
    places.settle();
    await turn();
  };
  return { inside, gaveWay, enter, leave, complete };
}

describe("at once are unpacked", () => {
  test("four layers, the others in the order they came", async () => {
    const { inside, gaveWay, enter, leave } = use();
    for (const name of "abcdef") await enter(name);
    assert.deepEqual(inside, ["a", "b", "c", "d"]);
    await leave("b");
    assert.deepEqual(inside, ["a", "c", "d", "e"]);
    await leave("a");
    assert.deepEqual(inside, ["c", "d", "e", "f"]);
    assert.deepEqual(gaveWay, []);
  });

  test("one zstd layer; it holds up no other kind", async () => {
    const { inside, enter, leave } = use();
    await enter("z", { isZstd: true });
    await enter("y", { isZstd: true });
    await enter("g");
    assert.deepEqual(inside, ["z", "g"]);
    await leave("z");
    assert.deepEqual(inside, ["g", "y"]);
  });
});

describe("a layer that is still fetched gives way to a complete one", () => {
  test("zstd to zstd, and gets the place back after it", async () => {
    const { inside, gaveWay, enter, leave, complete } = use();
    await enter("slow", { isZstd: true });
    await enter("other");
    await enter("whole", { isZstd: true });
    assert.deepEqual(gaveWay, []);
    await complete("whole");
    assert.deepEqual(gaveWay, ["slow"]);
    await leave("slow");
    assert.deepEqual(inside, ["other", "whole"]);
    await enter("slow", { isZstd: true });
    await leave("whole");
    assert.deepEqual(inside, ["other", "slow"]);
  });

  test("where all places are taken", async () => {
    const { inside, gaveWay, enter, leave } = use();
    for (const name of "abcd") await enter(name, { isComplete: name === "a" });
    await enter("whole", { isComplete: true });
    assert.deepEqual(gaveWay, ["b"]);
    await leave("b");
    assert.deepEqual(inside, ["a", "c", "d", "whole"]);
  });

  test("but a complete one waits for complete ones", async () => {
    const { inside, gaveWay, enter, leave } = use();
    for (const name of "abcde") await enter(name, { isComplete: true });
    await enter("z", { isComplete: true, isZstd: true });
    assert.deepEqual(gaveWay, []);
    await leave("c");
    assert.deepEqual(inside, ["a", "b", "d", "e"]);
  });

  test("complete ones go first", async () => {
    const { inside, enter, leave } = use();
    for (const name of "abcd") await enter(name, { isComplete: true });
    await enter("slow");
    await enter("whole", { isComplete: true });
    await leave("a");
    assert.deepEqual(inside, ["b", "c", "d", "whole"]);
  });
});

test("who is cancelled while it waits has no place any more", async () => {
  const { inside, enter, leave } = use();
  for (const name of "abcd") await enter(name);
  const waiting = await enter("e");
  await enter("f");
  const reason = new Error("not wanted");
  waiting.cancel(reason);
  await assert.rejects(waiting.outcome, (error) => error === reason);
  await leave("a");
  assert.deepEqual(inside, ["b", "c", "d", "f"]);
});
