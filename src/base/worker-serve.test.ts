import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import type { FromWorker, ToWorker } from "./worker-messages.ts";
import { type CallHandlers, serveCalls } from "./worker-serve.ts";

type Calls = {
  readonly hold: { payload: string; result: string; event: string; ask: string };
};

/** Serves in this thread; messages are sent and read by hand. */
function useServer(t: TestContext, hold: CallHandlers<Calls>["hold"]) {
  const { port1, port2 } = new MessageChannel();
  const received: FromWorker[] = [];
  let arrived = Promise.withResolvers<void>();
  port1.on("message", (message: FromWorker) => {
    received.push(message);
    arrived.resolve();
    arrived = Promise.withResolvers<void>();
  });
  t.after(() => port1.close());
  serveCalls<Calls>(port2, { hold });
  return {
    send: (message: ToWorker) => port1.postMessage(message),
    async next(count: number): Promise<readonly FromWorker[]> {
      while (received.length < count) await arrived.promise;
      return received;
    },
  };
}

test("calls are answered by their ids, whichever ends first", async (t) => {
  const { send, next } = useServer(t, async (payload, { ask }) => {
    if (payload === "slow") await ask("go on?");
    return `${payload} done`;
  });
  send({ kind: "call", id: 7, name: "hold", payload: "slow" });
  send({ kind: "call", id: 8, name: "hold", payload: "fast" });
  await next(2);
  send({ kind: "answer", askId: 1, error: undefined });
  assert.deepEqual(await next(3), [
    { kind: "ask", id: 7, askId: 1, value: "go on?" },
    { kind: "result", id: 8, value: "fast done" },
    { kind: "result", id: 7, value: "slow done" },
  ]);
});

test("asks of several calls are told apart", async (t) => {
  const { send, next } = useServer(t, async (payload, { ask }) => {
    await ask(payload);
    return payload;
  });
  send({ kind: "call", id: 1, name: "hold", payload: "a" });
  send({ kind: "call", id: 2, name: "hold", payload: "b" });
  await next(2);
  send({ kind: "answer", askId: 2, error: { kind: "no-space", message: "full" } });
  send({ kind: "answer", askId: 1, error: undefined });
  assert.deepEqual((await next(4)).slice(2), [
    { kind: "error", id: 2, error: { kind: "no-space", message: "full" } },
    { kind: "result", id: 1, value: "a" },
  ]);
});

test("a cancel fires the signal of its call once, with a reason", async (t) => {
  const { send, next } = useServer(t, (payload, { signal, emit }) => {
    const { promise, reject } = Promise.withResolvers<string>();
    signal.addEventListener("abort", () => {
      emit(`${payload} cancelled`);
      reject(signal.reason);
    });
    return promise;
  });
  send({ kind: "call", id: 1, name: "hold", payload: "a" });
  send({ kind: "cancel", id: 1 });
  send({ kind: "cancel", id: 1 });
  assert.deepEqual(await next(2), [
    { kind: "event", id: 1, value: "a cancelled" },
    { kind: "error", id: 1, error: { kind: "cancelled", message: "nobody waits for it any more" } },
  ]);
});

test("what belongs to no call, or to one that is over, is ignored", async (t) => {
  const { send, next } = useServer(t, async (payload) => payload);
  send({ kind: "cancel", id: 1 });
  send({ kind: "answer", askId: 9, error: undefined });
  send({ kind: "call", id: 1, name: "hold", payload: "a" });
  send({ kind: "cancel", id: 1 });
  send({ kind: "call", id: 2, name: "hold", payload: "b" });
  assert.deepEqual(await next(2), [
    { kind: "result", id: 1, value: "a" },
    { kind: "result", id: 2, value: "b" },
  ]);
});
