import type { MessagePort } from "node:worker_threads";
import { DriverError, errorFromData, errorToData } from "./errors.ts";
import type { CallShape, CallTable, FromWorker, ToWorker } from "./worker-messages.ts";

/** What a call's handler in the worker can do beside its work. */
export interface CallContext<Shape extends CallShape> {
  /** Fires when the caller cancels. */
  readonly signal: AbortSignal;
  readonly emit: (event: Shape["event"]) => void;
  /** Has something done on the other side, or asks it something; settles as that side did. */
  readonly ask: (ask: Shape["ask"]) => Promise<unknown>;
}

/** One handler for each call of the table. */
export type CallHandlers<Calls extends CallTable> = {
  readonly [Name in keyof Calls]: (
    payload: Calls[Name]["payload"],
    context: CallContext<Calls[Name]>,
  ) => Promise<Calls[Name]["result"]>;
};

/** Answers the calls that come over a worker's port, many at once. */
export function serveCalls<Calls extends CallTable>(port: MessagePort, handlers: CallHandlers<Calls>): void {
  const running = new Map<number, AbortController>();
  const asked = new Map<number, PromiseWithResolvers<unknown>>();
  let lastAskId = 0;
  const send = (message: FromWorker) => port.postMessage(message);

  const run = async (id: number, name: string, payload: unknown) => {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const handler = handlers[name];
      if (handler === undefined) throw new Error(`no call ${name}`);
      const ask = (value: unknown) => {
        const answer = Promise.withResolvers<unknown>();
        const askId = ++lastAskId;
        asked.set(askId, answer);
        send({ kind: "ask", id, askId, value });
        return answer.promise;
      };
      const emit = (value: unknown) => send({ kind: "event", id, value });
      send({ kind: "result", id, value: await handler(payload, { signal: controller.signal, emit, ask }) });
    } catch (error) {
      send({ kind: "error", id, error: errorToData(error) });
    } finally {
      running.delete(id);
    }
  };

  port.on("message", (message: ToWorker) => {
    if (message.kind === "call") void run(message.id, message.name, message.payload);
    else if (message.kind === "cancel")
      running.get(message.id)?.abort(new DriverError("cancelled", "nobody waits for it any more"));
    else {
      const answer = asked.get(message.askId);
      asked.delete(message.askId);
      if (message.error === undefined) answer?.resolve(message.value);
      else answer?.reject(errorFromData(message.error));
    }
  });
}
