import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createWork, fetching, TREE, turn, usePulls } from "../../test/helpers/pulls-bench.ts";
import { DriverError } from "../base/index.ts";

describe("joining", () => {
  test("all who want one tree share one pull", async () => {
    const { call } = usePulls();
    const { work, succeed, runs } = createWork();
    const calls = ["a", "b", "a", "c"].map((volume) => call(volume, work));
    succeed();
    assert.deepEqual(await Promise.all(calls), [TREE, TREE, TREE, TREE]);
    assert.equal(runs(), 1);
  });

  test("a later call after the end starts another one", async () => {
    const { call } = usePulls();
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
    const { join, call } = usePulls();
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
  const used = usePulls({ maxPulls: 1 });
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
    const { pulls, join } = usePulls();
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
    const { clock, call } = usePulls();
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
    const { pulls, join, patience } = usePulls();
    const { work, began } = createWork();
    const caller = new AbortController();
    const calling = pulls.wait(join("a", work), "a", patience(100_000, caller.signal));
    const { signal } = await began;
    caller.abort();
    await assert.rejects(calling, { kind: "cancelled" });
    assert.equal(signal.aborted, false);
  });

  test("a pull that was cancelled ends before the next one for its tree begins", async () => {
    const { pulls, join, call } = usePulls();
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
    const { pulls, join, call } = usePulls({ maxPulls: 1 });
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
    const { clock, call } = usePulls({ maxPulls: 1 });
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
    const { clock, call } = usePulls();
    const { work, began } = createWork();
    const calling = told(call("a", work));
    const { onEvent } = await began;
    onEvent(fetching(50));
    clock.advance(95_000);
    assert.equal(await calling, "in-progress: pulling a.io/x:v1: 50 of 200 bytes (25%)");
  });

  test("the last try's failure, until bytes come again", async () => {
    const { clock, call } = usePulls();
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

test("closing cancels all and waits until they have let go", async () => {
  const { pulls, join } = usePulls({ maxPulls: 1 });
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

describe("a place", () => {
  test("that a pull leaves is another's, and is waited for again", async () => {
    const { join, call } = usePulls({ maxPulls: 1 });
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
    const { pulls, join, call } = usePulls({ maxPulls: 1 });
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
    const { clock, join, pulls, patience } = usePulls({ maxPulls: 1 });
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
