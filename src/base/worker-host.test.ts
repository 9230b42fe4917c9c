import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import type { FixtureCalls } from "../../test/fixtures/worker-calls/worker.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { DriverError, describeError, type ErrorKind } from "./errors.ts";
import { WorkerHost } from "./worker-host.ts";

const IDLE_MS = 1000;
const source = new URL("../../test/fixtures/worker-calls/worker.ts", import.meta.url);

/** A host whose threads are seen, with a clock that stands still. */
function useHost(t: TestContext, start = () => new Worker(source)) {
  const clock = new ManualClock();
  const started: Worker[] = [];
  const host = new WorkerHost<FixtureCalls>({
    start: () => {
      const worker = start();
      started.push(worker);
      return worker;
    },
    idleMs: IDLE_MS,
    clock,
  });
  t.after(() => host.close());
  return { host, clock, started };
}

/** A call that waits until it is cancelled, once it really waits. */
async function startWaiting(host: WorkerHost<FixtureCalls>, onAsk: () => Promise<void> = async () => undefined) {
  const controller = new AbortController();
  const waits = Promise.withResolvers<void>();
  const call = host.call("wait", undefined, { signal: controller.signal, onEvent: () => waits.resolve(), onAsk });
  const outcome = call.then(
    () => assert.fail("it ended by itself"),
    (error: unknown) => error,
  );
  await waits.promise;
  return { controller, outcome };
}

const lost: [how: "exit" | "throw" | "reject", says: RegExp][] = [
  ["exit", /a worker thread of the driver was lost and is started anew: it ended with code 3$/],
  ["throw", /lost and is started anew: boom$/],
  ["reject", /lost and is started anew: boom$/],
];

test("nothing starts before the first call; results are values, not references", async (t) => {
  const { host, started } = useHost(t);
  assert.equal(started.length, 0);
  const sent = { text: "ü", bytes: new Uint8Array([1, 2]), map: new Map([[1, undefined]]) };
  const back = await host.call("echo", sent);
  assert.deepEqual(back, sent);
  assert.notEqual(back, sent);
  assert.equal(await host.call("echo", undefined), undefined);
  assert.equal(started.length, 1);
});

test("calls at once share a thread and get their own answers", async (t) => {
  const { host, started } = useHost(t);
  const values = Array.from({ length: 500 }, (_, i) => i);
  const answers = await Promise.all(values.map((value) => host.call("echo", value)));
  assert.deepEqual(answers, values);
  assert.equal(started.length, 1);
});

test("events come in order, before the result, to their own call", async (t) => {
  const { host } = useHost(t);
  const seen: string[] = [];
  const count = (name: string, times: number) =>
    host.call("count", times, { onEvent: (event) => seen.push(`${name}${event}`) }).then(() => seen.push(`${name}.`));
  await Promise.all([count("a", 3), count("b", 2), host.call("count", 5)]);
  assert.deepEqual(
    seen.filter((entry) => entry.startsWith("a")),
    ["a0", "a1", "a2", "a."],
  );
  assert.deepEqual(
    seen.filter((entry) => entry.startsWith("b")),
    ["b0", "b1", "b."],
  );
});

test("what the worker asks for is done, one after the other, and refusals are told to it", async (t) => {
  const { host } = useHost(t);
  const asked: string[] = [];
  const onAsk = async (what: string) => {
    asked.push(what);
    if (what === "full") throw new DriverError("no-space", "the disk is full");
    if (what === "bug") throw new TypeError("a secret detail");
  };
  const answers = await host.call("asks", ["one", "full", "bug", "two"], { onAsk });
  assert.deepEqual(asked, ["one", "full", "bug", "two"]);
  const bug = "internal: unexpected driver failure, see the driver log";
  assert.deepEqual(answers, ["done", "no-space: the disk is full", bug, "done"]);
});

test("what nobody is there to do is not taken for done", async (t) => {
  const { host } = useHost(t);
  assert.deepEqual(await host.call("asks", ["sync"]), ["internal: unexpected driver failure, see the driver log"]);
});

for (const kind of ["corrupt", "unavailable", "in-progress"] satisfies ErrorKind[]) {
  test(`a failure of kind ${kind} crosses the thread with kind, message and cause`, async (t) => {
    const { host } = useHost(t);
    await assert.rejects(host.call("fail", kind), (error) => {
      assert.ok(error instanceof DriverError);
      assert.deepEqual([error.kind, error.message], [kind, `it is ${kind}`]);
      assert.match(describeError(error), /^it is \S+: Error: why/);
      return true;
    });
  });
}

const failures: [how: "sync" | "plain" | "text", kind: ErrorKind, message: string, detail: RegExp][] = [
  ["sync", "refused", "at once", /^at once$/],
  ["plain", "internal", "unexpected driver failure, see the driver log", /a secret detail/],
  ["text", "internal", "unexpected driver failure, see the driver log", /thrown text/],
];
for (const [how, kind, message, detail] of failures) {
  test(`a handler fails: ${how}`, async (t) => {
    const { host } = useHost(t);
    await assert.rejects(host.call("fail", how), (error) => {
      assert.ok(error instanceof DriverError);
      assert.deepEqual([error.kind, error.message], [kind, message]);
      assert.match(describeError(error), detail);
      return true;
    });
    assert.equal(await host.call("echo", "still there"), "still there");
  });
}

test("values that cannot cross fail their call only, in both directions", async (t) => {
  const { host, started } = useHost(t);
  await assert.rejects(
    host.call("echo", () => undefined),
    { name: "DataCloneError" },
  );
  await assert.rejects(host.call("odd", undefined), { kind: "internal" });
  assert.equal(await host.call("echo", 1), 1);
  assert.equal(started.length, 1);
});

test("a call that does not exist is an error", async (t) => {
  const { host } = useHost(t);
  await assert.rejects(host.call("missing" as "echo", 1), { kind: "internal" });
});

test("a cancelled call ends when the worker has let go, not before", async (t) => {
  const { host } = useHost(t);
  const mayGo = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  let settled = false;
  const { controller, outcome } = await startWaiting(host, () => {
    asked.resolve();
    return mayGo.promise;
  });
  void outcome.then(() => {
    settled = true;
  });
  controller.abort();
  await asked.promise;
  assert.equal(await host.call("echo", "others go on"), "others go on");
  assert.equal(settled, false);
  mayGo.resolve();
  const error = await outcome;
  assert.ok(error instanceof DriverError && error.kind === "cancelled");
});

test("one call is cancelled, its twin goes on", async (t) => {
  const { host } = useHost(t);
  const first = await startWaiting(host);
  const second = await startWaiting(host);
  first.controller.abort();
  assert.ok((await first.outcome) instanceof DriverError);
  assert.equal(await Promise.race([second.outcome, host.call("echo", "goes on")]), "goes on");
  second.controller.abort();
  await second.outcome;
});

test("a signal that fired already starts nothing, one that fires afterwards does nothing", async (t) => {
  const { host, started } = useHost(t);
  const reason = new Error("too late");
  await assert.rejects(host.call("echo", 1, { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(started.length, 0);
  const controller = new AbortController();
  assert.equal(await host.call("echo", 1, { signal: controller.signal }), 1);
  controller.abort();
  assert.equal(await host.call("echo", 2), 2);
});

for (const [how, says] of lost) {
  test(`a worker that is lost (${how}) fails the calls under way; the next call starts another`, async (t) => {
    const { host, started } = useHost(t);
    const { outcome } = await startWaiting(host);
    const ended = host.call("end", how);
    await assert.rejects(ended, { name: "DriverError", kind: "unavailable", message: says });
    const other = await outcome;
    assert.ok(other instanceof DriverError && says.test(other.message));
    assert.equal(await host.call("echo", "again"), "again");
    assert.equal(started.length, 2);
  });
}

test("a worker that was killed from outside fails the calls under way", async (t) => {
  const { host, started } = useHost(t);
  const { controller, outcome } = await startWaiting(host);
  await started[0]?.terminate();
  const error = await outcome;
  assert.ok(error instanceof DriverError && error.kind === "unavailable");
  controller.abort();
  assert.equal(await host.call("echo", 1), 1);
});

test("a call whose worker died while it asked ends", async (t) => {
  const { host, started } = useHost(t);
  const outcome = host.call("asks", ["x"], { onAsk: async () => void (await started[0]?.terminate()) });
  await assert.rejects(outcome, { kind: "unavailable" });
  assert.equal(await host.call("echo", 1), 1);
});

test("a worker that cannot start fails the call", async (t) => {
  const { host } = useHost(t, () => new Worker(new URL("./no-such-worker.ts", source)));
  await assert.rejects(host.call("echo", 1), { kind: "unavailable", message: /Cannot find module/ });
});

test("an idle worker is ended after its time, and the next call starts another", async (t) => {
  const { host, clock, started } = useHost(t);
  await host.call("echo", 1);
  clock.advance(IDLE_MS - 1);
  await host.call("echo", 2);
  clock.advance(IDLE_MS - 1);
  assert.equal(started.length, 1);
  const exited = once(started[0] as Worker, "exit");
  clock.advance(1);
  await exited;
  assert.equal(clock.pending, 0);
  assert.equal(await host.call("echo", 3), 3);
  assert.equal(started.length, 2);
});

test("a worker with a call under way is not idle, however long that takes", async (t) => {
  const { host, clock, started } = useHost(t);
  await host.call("echo", 1);
  const { controller, outcome } = await startWaiting(host);
  await host.call("echo", 2);
  clock.advance(100 * IDLE_MS);
  controller.abort();
  assert.ok((await outcome) instanceof DriverError);
  assert.equal(started.length, 1);
});

test("a call that comes as the idle worker is being ended has a worker", async (t) => {
  const { host, clock, started } = useHost(t);
  await host.call("echo", 1);
  clock.advance(IDLE_MS);
  assert.equal(await host.call("echo", 2), 2);
  assert.equal(started.length, 2);
});

test("a closed host ends calls under way and takes no more", async (t) => {
  const { host, clock, started } = useHost(t);
  const { outcome } = await startWaiting(host);
  await host.close();
  const error = await outcome;
  assert.ok(error instanceof DriverError && error.kind === "unavailable");
  assert.match(error.message, /the driver stops/);
  await assert.rejects(host.call("echo", 1), { kind: "unavailable", message: /the driver stops/ });
  await host.close();
  assert.deepEqual([started.length, clock.pending], [1, 0]);
});

test("a host without a worker closes", async (t) => {
  await useHost(t).host.close();
});
