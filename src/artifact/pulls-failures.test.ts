import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createWork, MINUTE_MS, offerOf, TREE, turn, usePulls } from "../../test/helpers/pulls-bench.ts";
import { DriverError } from "../base/index.ts";
import type { RunningPull } from "./pull.ts";

describe("failures", () => {
  const failure = new DriverError("not-found", "no such blob");

  test("everybody who waits is told, and the next call tries again", async () => {
    const { call } = usePulls();
    const { work, fail } = createWork();
    const calls = ["a", "b"].map((volume) => assert.rejects(call(volume, work), failure));
    fail(failure);
    await Promise.all(calls);
    await turn();
    const again = createWork();
    again.succeed();
    assert.equal(await call("a", again.work), TREE);
  });

  /** A pull that fails while "a" is between two calls, and nobody but "b" waits. */
  async function failUnseen() {
    const used = usePulls();
    const { work, began, fail } = createWork();
    const late = assert.rejects(used.call("a", work), { kind: "in-progress" });
    await began;
    used.clock.advance(95_000);
    await late;
    const waiting = assert.rejects(used.call("b", work), failure);
    fail(failure);
    await waiting;
    await turn();
    return used;
  }

  test("one that nobody saw is told once, to those who wanted the tree", async () => {
    const { call, clock } = await failUnseen();
    clock.advance(5 * MINUTE_MS);
    const again = createWork();
    again.succeed();
    await assert.rejects((async () => call("a", again.work))(), { kind: "not-found", message: "no such blob" });
    assert.equal(again.runs(), 0);
    assert.equal(await call("a", again.work), TREE);
    assert.equal(await call("b", again.work), TREE);
  });

  test("after five minutes it is tried again instead", async () => {
    const { call, clock } = await failUnseen();
    clock.advance(5 * MINUTE_MS + 1);
    const again = createWork();
    again.succeed();
    assert.equal(await call("a", again.work), TREE);
  });

  test("who left, or wants another tree by now, is not told", async () => {
    for (const change of ["left", "other tree"]) {
      const { pulls, call } = await failUnseen();
      if (change === "left") pulls.leave("a");
      const again = createWork();
      again.succeed();
      assert.equal(await call("a", again.work, change === "left" ? "tree" : "other"), TREE);
    }
  });

  test("a pull that was cancelled failed for nobody", async () => {
    const { pulls, join, call } = usePulls();
    const { work, began } = createWork();
    join("a", work);
    await began;
    pulls.leave("a");
    await turn();
    const again = createWork();
    again.succeed();
    assert.equal(await call("a", again.work), TREE);
  });

  test("a fault of the driver's own keeps its text for the log", async () => {
    const { lines, join, pulls } = usePulls();
    const { work, began, fail } = createWork();
    join("a", work);
    await began;
    fail(new TypeError("x is undefined"));
    await turn();
    assert.throws(() => join("a", work), { kind: "internal", message: /see the driver log/ });
    assert.ok(lines.some((line) => line.includes("x is undefined")));
    await pulls.close();
  });
});

describe("a refusal", () => {
  const error = new DriverError("unauthenticated", "who is that?");
  const idOf = async (pull: RunningPull) => (await pull.offer())?.id ?? 0;

  test("fails the volumes whose offer it was, and the pull goes on with another's", async () => {
    const { pulls, join, patience, lines } = usePulls();
    const { work, began, succeed } = createWork();
    const told: string[] = [];
    const offers = { a: offerOf("one", told), b: offerOf("one", told), c: offerOf("two", told) };
    const calls = Object.entries(offers).map(([volume, offer]) =>
      pulls.wait(join(volume, work, "tree", offer), volume, patience()),
    );
    const pull = await began;
    const next = await pull.offer({ id: await idOf(pull), error });
    assert.deepEqual(next?.credentials, offers.c.credentials);
    assert.deepEqual(told, ["one: who is that?", "one: who is that?"]);
    for (const call of calls.slice(0, 2)) await assert.rejects(call, error);
    assert.equal(pull.signal.aborted, false);
    assert.equal(lines.filter((line) => line.includes("refused")).length, 2);
    succeed();
    assert.equal(await calls[2], TREE);
  });

  test("of the last ones there are fails the pull", async () => {
    const { pulls, join, patience } = usePulls();
    const { work, began, fail } = createWork();
    const told: string[] = [];
    const call = pulls.wait(join("a", work, "tree", offerOf("one", told)), "a", patience());
    const pull = await began;
    assert.equal(await pull.offer({ id: await idOf(pull), error }), undefined);
    assert.deepEqual(told, ["one: who is that?"]);
    fail(error);
    await assert.rejects(call, error);
  });

  test("tells the next call of a volume that did not wait, once", async () => {
    const { clock, join, call } = usePulls();
    const { work, began, succeed } = createWork();
    join("a", work, "tree", offerOf("one"));
    join("b", work, "tree", offerOf("two"));
    const pull = await began;
    await pull.offer({ id: await idOf(pull), error });
    clock.advance(MINUTE_MS);
    assert.throws(() => join("a", work, "tree", offerOf("three")), error);
    const calling = call("a", work);
    succeed();
    assert.equal(await calling, TREE);
  });

  test("of an offer that a later call has replaced fails nobody", async () => {
    const { join } = usePulls();
    const { work, began } = createWork();
    join("a", work, "tree", offerOf("old"));
    const pull = await began;
    const old = await idOf(pull);
    const replaced = offerOf("new");
    const same = join("a", work, "tree", replaced);
    assert.deepEqual((await pull.offer())?.credentials, replaced.credentials);
    assert.deepEqual((await pull.offer({ id: old, error }))?.credentials, replaced.credentials);
    assert.ok(same.wanters.has("a"));
  });

  test("is not to be had for an offer of a volume that left", async () => {
    const { pulls, join } = usePulls();
    const { work, began } = createWork();
    join("a", work, "tree", offerOf("one"));
    const stays = offerOf("two");
    join("b", work, "tree", stays);
    const pull = await began;
    pulls.leave("a");
    assert.deepEqual((await pull.offer())?.credentials, stays.credentials);
  });
});
