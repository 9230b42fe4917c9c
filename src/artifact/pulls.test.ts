import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { createLogger, DriverError } from "../base/index.ts";
import type { Tree, TreeId } from "../cache/index.ts";
import { digestOf } from "../oci/index.ts";
import type { PullWork, RunningPull } from "./pull.ts";
import { Pulls } from "./pulls.ts";
import type { PullProgress } from "./worker-calls.ts";

const TREE: Tree = {
  id: "t" as TreeId,
  folder: "/t",
  manifest: digestOf(Buffer.from("m")),
  bytes: 1,
  inodes: 2,
  damage: undefined,
  references: [],
};
const MINUTE_MS = 60_000;

/** Work that a test ends: it rejects by itself when it is cancelled, unless it is told to linger. */
function createWork({ lingers = false } = {}) {
  const gate = Promise.withResolvers<Tree>();
  const began = Promise.withResolvers<Parameters<PullWork>[0]>();
  let runs = 0;
  const work: PullWork = (pull) => {
    runs++;
    began.resolve(pull);
    if (!lingers) pull.signal.addEventListener("abort", () => gate.reject(pull.signal.reason), { once: true });
    return gate.promise;
  };
  return { work, began: began.promise, succeed: () => gate.resolve(TREE), fail: gate.reject, runs: () => runs };
}

function use({ maxPulls = 4 } = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
  const pulls = new Pulls({ maxPulls, clock, log });
  const join = (volume: string, work: PullWork, key = "tree", offer = offerOf("anonymous")) =>
    pulls.join({ volume, key, reference: "a.io/x:v1", registry: key.split("/")[0] ?? "", offer, work });
  const patience = (timeoutMs = 100_000, signal = new AbortController().signal) => {
    return { deadlineMs: clock.monotonicMs() + timeoutMs, timeoutMs, signal };
  };
  const call = (volume: string, work: PullWork, key?: string) =>
    pulls.wait(join(volume, work, key), volume, patience());
  return { clock, lines, pulls, join, call, patience };
}

/** What a volume offers; `told` hears of its refusal. */
function offerOf(source: string, told: string[] = []) {
  const credentials = [{ kind: "password", username: source, password: "p", source, owner: "pod" }] as const;
  return { credentials, refused: async ({ message }: DriverError) => void told.push(`${source}: ${message}`) };
}

/** A report of a pull of 200 bytes. */
const fetching = (doneBytes: number): PullProgress => {
  return {
    phase: "fetching",
    doneBytes,
    totalBytes: 200,
    fetchedBytes: doneBytes,
    mirrorBytes: 0,
    resumedBytes: 0,
    retries: 0,
  };
};

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("joining", () => {
  test("all who want one tree share one pull", async () => {
    const { call } = use();
    const { work, succeed, runs } = createWork();
    const calls = ["a", "b", "a", "c"].map((volume) => call(volume, work));
    succeed();
    assert.deepEqual(await Promise.all(calls), [TREE, TREE, TREE, TREE]);
    assert.equal(runs(), 1);
  });

  test("a later call after the end starts another one", async () => {
    const { call } = use();
    const first = createWork();
    first.succeed();
    await call("a", first.work);
    await turn();
    const second = createWork();
    second.succeed();
    await call("a", second.work);
    assert.equal(second.runs(), 1);
  });

  test("a volume that wants another tree leaves the one before", async () => {
    const { join, call } = use();
    const before = createWork();
    const old = join("a", before.work, "old");
    const next = createWork();
    const calling = call("a", next.work, "new");
    await assert.rejects(old.outcome, { kind: "cancelled" });
    next.succeed();
    assert.equal(await calling, TREE);
  });
});

test("registries take turns: one with many pulls keeps another one's waiting no longer than one of them", async () => {
  const used = use({ maxPulls: 1 });
  const [first, second, other] = [createWork(), createWork(), createWork()];
  const calls = [used.call("v1", first.work, "a.io/1"), used.call("v2", second.work, "a.io/2")];
  await first.began;
  const more = used.call("v3", other.work, "b.io/1");
  await turn();
  first.succeed();
  await other.began;
  assert.equal(second.runs(), 0);
  other.succeed();
  await second.began;
  second.succeed();
  await Promise.all([...calls, more]);
});

describe("leaving", () => {
  test("only the last one who leaves cancels", async () => {
    const { pulls, join } = use();
    const { work, began } = createWork();
    const pull = join("a", work);
    join("b", work);
    const { signal } = await began;
    pulls.leave("a");
    pulls.leave("a");
    pulls.leave("stranger");
    assert.equal(signal.aborted, false);
    pulls.leave("b");
    assert.equal(signal.aborted, true);
    await assert.rejects(pull.outcome, { kind: "cancelled", message: /no volume wants it any more/ });
  });

  test("a call that ends at its deadline does not leave", async () => {
    const { clock, call } = use();
    const { work, began, succeed } = createWork();
    const first = call("a", work);
    const { signal } = await began;
    clock.advance(95_000);
    await assert.rejects(first, { kind: "in-progress", message: "pulling a.io/x:v1: starting" });
    assert.equal(signal.aborted, false);
    const second = call("a", work);
    succeed();
    assert.equal(await second, TREE);
  });

  test("nor does a caller that goes away", async () => {
    const { pulls, join, patience } = use();
    const { work, began } = createWork();
    const caller = new AbortController();
    const calling = pulls.wait(join("a", work), "a", patience(100_000, caller.signal));
    const { signal } = await began;
    caller.abort();
    await assert.rejects(calling, { kind: "cancelled" });
    assert.equal(signal.aborted, false);
  });

  test("a pull that was cancelled ends before the next one for its tree begins", async () => {
    const { pulls, join, call } = use();
    const old = createWork({ lingers: true });
    join("a", old.work);
    await old.began;
    pulls.leave("a");
    const next = createWork();
    const calling = call("b", next.work);
    await turn();
    assert.equal(next.runs(), 0);
    old.fail(new DriverError("cancelled", "let go"));
    next.succeed();
    assert.equal(await calling, TREE);
  });

  test("one that waits for its turn can be cancelled, and gives no place up that it never had", async () => {
    const { pulls, join, call } = use({ maxPulls: 1 });
    const first = createWork();
    const running = call("a", first.work, "1");
    const waiting = createWork();
    const pull = join("b", waiting.work, "2");
    await first.began;
    pulls.leave("b");
    await assert.rejects(pull.outcome, { kind: "cancelled" });
    const third = createWork();
    const last = call("c", third.work, "3");
    await turn();
    assert.equal(third.runs(), 0);
    first.succeed();
    third.succeed();
    assert.deepEqual(await Promise.all([running, last]), [TREE, TREE]);
    assert.equal(waiting.runs(), 0);
  });
});

describe("what a late caller is told", () => {
  async function told(call: Promise<unknown>): Promise<string> {
    return call.then(
      () => "nothing",
      (error: DriverError) => `${error.kind}: ${error.message}`,
    );
  }

  test("whose turn it is", async () => {
    const { clock, call } = use({ maxPulls: 1 });
    const works = [createWork(), createWork(), createWork()];
    const calls = works.map(({ work }, i) => told(call(`v${i}`, work, `t${i}`)));
    await works[0]?.began;
    clock.advance(95_000);
    assert.deepEqual(await Promise.all(calls), [
      "in-progress: pulling a.io/x:v1: starting",
      "in-progress: pulling a.io/x:v1: waiting for 1 other pull on this node",
      "in-progress: pulling a.io/x:v1: waiting for 2 other pulls on this node",
    ]);
  });

  test("how far it is", async () => {
    const { clock, call } = use();
    const { work, began } = createWork();
    const calling = told(call("a", work));
    const { onEvent } = await began;
    onEvent(fetching(50));
    clock.advance(95_000);
    assert.equal(await calling, "in-progress: pulling a.io/x:v1: 50 of 200 bytes (25%)");
  });

  test("the last try's failure, until bytes come again", async () => {
    const { clock, call } = use();
    const { work, began } = createWork();
    const first = told(call("a", work));
    const { onEvent } = await began;
    onEvent(fetching(50));
    onEvent({ failedTry: "cannot fetch blob: connection refused" });
    onEvent(fetching(50));
    clock.advance(95_000);
    assert.equal(await first, "unavailable: cannot fetch blob: connection refused");
    const second = told(call("a", work));
    onEvent(fetching(51));
    clock.advance(95_000);
    assert.match(await second, /^in-progress: /);
  });
});

describe("failures", () => {
  const failure = new DriverError("not-found", "no such blob");

  test("everybody who waits is told, and the next call tries again", async () => {
    const { call } = use();
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
    const used = use();
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
    const { pulls, join, call } = use();
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
    const { lines, join, pulls } = use();
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

test("closing cancels all and waits until they have let go", async () => {
  const { pulls, join } = use({ maxPulls: 1 });
  const lingering = createWork({ lingers: true });
  join("a", lingering.work, "1");
  join("b", createWork().work, "2");
  await lingering.began;
  let closed = false;
  const closing = pulls.close().then(() => {
    closed = true;
  });
  await turn();
  assert.equal(closed, false);
  lingering.fail(new DriverError("cancelled", "let go"));
  await closing;
});

describe("a refusal", () => {
  const error = new DriverError("unauthenticated", "who is that?");
  const idOf = async (pull: RunningPull) => (await pull.offer())?.id ?? 0;

  test("fails the volumes whose offer it was, and the pull goes on with another's", async () => {
    const { pulls, join, patience, lines } = use();
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
    const { pulls, join, patience } = use();
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
    const { clock, join, call } = use();
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
    const { join } = use();
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
    const { pulls, join } = use();
    const { work, began } = createWork();
    join("a", work, "tree", offerOf("one"));
    const stays = offerOf("two");
    join("b", work, "tree", stays);
    const pull = await began;
    pulls.leave("a");
    assert.deepEqual((await pull.offer())?.credentials, stays.credentials);
  });
});

describe("a place", () => {
  test("that a pull leaves is another's, and is waited for again", async () => {
    const { join, call } = use({ maxPulls: 1 });
    const away = createWork();
    const first = join("a", away.work, "1");
    const pull = await away.began;
    const next = createWork();
    const calling = call("b", next.work, "2");
    pull.leavePlace();
    pull.leavePlace();
    await next.began;
    let isBack = false;
    const taking = pull.takePlace().then(() => {
      isBack = true;
    });
    await turn();
    assert.equal(isBack, false);
    next.succeed();
    assert.equal(await calling, TREE);
    await taking;
    const third = createWork();
    const last = call("c", third.work, "3");
    await turn();
    assert.equal(third.runs(), 0);
    away.succeed();
    await first.outcome;
    third.succeed();
    assert.equal(await last, TREE);
  });

  test("that comes when the pull has ended is given back; a cancel ends the waiting", async () => {
    const { pulls, join, call } = use({ maxPulls: 1 });
    const away = createWork();
    const first = join("a", away.work, "1");
    const pull = await away.began;
    pull.leavePlace();
    const other = createWork();
    const calling = call("b", other.work, "2");
    await other.began;
    const late = pull.takePlace();
    away.succeed();
    await first.outcome;
    other.succeed();
    await Promise.all([calling, late]);
    const cancelled = createWork();
    join("c", cancelled.work, "3");
    const running = await cancelled.began;
    running.leavePlace();
    const last = createWork();
    const lastCall = call("d", last.work, "4");
    await last.began;
    const taking = assert.rejects(running.takePlace(), { kind: "cancelled" });
    pulls.leave("c");
    await taking;
    last.succeed();
    assert.equal(await lastCall, TREE);
  });

  test("of those that are away nobody waits for", async () => {
    const { clock, join, pulls, patience } = use({ maxPulls: 1 });
    const works = [createWork(), createWork(), createWork()];
    const [away, running, waiting] = works.map(({ work }, i) => join(`v${i}`, work, `t${i}`));
    assert.ok(away && running && waiting);
    (await works[0]?.began)?.leavePlace();
    await works[1]?.began;
    const call = assert.rejects(pulls.wait(waiting, "v2", patience()), { message: /waiting for 1 other pull on/ });
    clock.advance(95_000);
    await call;
  });
});
