import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Clock } from "./clock.ts";
import { DriverError, describeError, errorFromData, errorToData } from "./errors.ts";
import type { CallTable, FromWorker, ToWorker } from "./worker-messages.ts";

/** How a call is watched while it runs. */
export interface CallOptions<Event, Ask> {
  /** Tells the worker to stop; the call then rejects once the worker has let go of everything. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: Event) => void;
  /** Does what the worker asks for, and tells what it asked; a rejection is the answer, too. Without it all is refused. */
  readonly onAsk?: (ask: Ask) => Promise<unknown>;
}

interface PendingCall {
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
  readonly options: CallOptions<never, never>;
}

/** What a host needs of a thread that serves calls: a `Worker` is one. */
export interface WorkerThread {
  postMessage(message: ToWorker): void;
  on(event: "message", listener: (message: FromWorker) => void): unknown;
  on(event: "error", listener: (error: unknown) => void): unknown;
  on(event: "exit", listener: (code: number) => void): unknown;
  terminate(): Promise<unknown>;
}

/** Has calls served in the calling thread, which has nothing else to do then. `serve` returns what ends its work. */
export function serveInThisThread(serve: (port: MessagePort) => () => Promise<void>): WorkerThread {
  const { port1, port2 } = new MessageChannel();
  const end = serve(port2);
  return {
    postMessage: (message) => port1.postMessage(message),
    on: (event: string, listener: (value: never) => void) => port1.on(event, listener as (value: unknown) => void),
    async terminate() {
      port1.close();
      await end();
    },
  };
}

/** What a host needs from outside. */
export interface WorkerHostOptions {
  readonly start: () => WorkerThread;
  /** How long an idle worker is kept, in milliseconds. */
  readonly idleMs: number;
  readonly clock: Clock;
}

/**
 * One worker thread, started by the first call and ended when it was idle for a while. If it dies, the calls under way
 * fail and the next one starts another.
 */
export class WorkerHost<Calls extends CallTable> {
  readonly #options: WorkerHostOptions;
  readonly #pending = new Map<number, PendingCall>();
  #worker: WorkerThread | undefined;
  #cancelIdle: (() => void) | undefined;
  #lastId = 0;
  #closed = false;

  constructor(options: WorkerHostOptions) {
    this.#options = options;
  }

  /** Runs one call in the worker and resolves to its result. */
  async call<Name extends keyof Calls & string>(
    name: Name,
    payload: Calls[Name]["payload"],
    options: CallOptions<Calls[Name]["event"], Calls[Name]["ask"]> = {},
  ): Promise<Calls[Name]["result"]> {
    options.signal?.throwIfAborted();
    if (this.#closed) throw closed();
    const worker = this.#running();
    const id = ++this.#lastId;
    const onAbort = () => worker.postMessage({ kind: "cancel", id } satisfies ToWorker);
    options.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await new Promise<Calls[Name]["result"]>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject, options });
        worker.postMessage({ kind: "call", id, name, payload } satisfies ToWorker);
      });
    } finally {
      options.signal?.removeEventListener("abort", onAbort);
      this.#pending.delete(id);
      if (this.#pending.size === 0) this.#endWhenIdle();
    }
  }

  /** Ends the worker at once and for good; calls under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelIdle?.();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
    for (const pending of this.#pending.values()) pending.reject(closed());
  }

  #running(): WorkerThread {
    this.#cancelIdle?.();
    if (this.#worker !== undefined) return this.#worker;
    const worker = this.#options.start();
    worker.on("message", (message: FromWorker) => this.#receive(worker, message));
    worker.on("error", (error: unknown) => this.#lost(worker, error));
    worker.on("exit", (code: number) => this.#lost(worker, new Error(`it ended with code ${code}`)));
    this.#worker = worker;
    return worker;
  }

  #receive(worker: WorkerThread, message: FromWorker): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if (message.kind === "result") pending.resolve(message.value as never);
    else if (message.kind === "error") pending.reject(errorFromData(message.error));
    else if (message.kind === "event") pending.options.onEvent?.(message.value as never);
    else void this.#answer(worker, pending, message);
  }

  async #answer(worker: WorkerThread, pending: PendingCall, ask: FromWorker & { kind: "ask" }): Promise<void> {
    const { askId } = ask;
    try {
      if (pending.options.onAsk === undefined) throw new Error("nobody does what the worker asks for");
      const value = await pending.options.onAsk(ask.value as never);
      worker.postMessage({ kind: "answer", askId, error: undefined, value } satisfies ToWorker);
    } catch (reason) {
      worker.postMessage({ kind: "answer", askId, error: errorToData(reason) } satisfies ToWorker);
    }
  }

  #lost(worker: WorkerThread, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const failure = workerLost(describeError(error), error);
    for (const pending of this.#pending.values()) pending.reject(failure);
  }

  #endWhenIdle(): void {
    this.#cancelIdle?.();
    if (this.#closed) return;
    this.#cancelIdle = this.#options.clock.after(this.#options.idleMs, () => {
      const idle = this.#worker;
      if (this.#pending.size > 0 || idle === undefined) return;
      this.#worker = undefined;
      void idle.terminate();
    });
  }
}

/** What calls fail with that needed a worker thread which is gone. */
export function workerLost(why: string, cause?: unknown): DriverError {
  return new DriverError("unavailable", `a worker thread of the driver was lost and is started anew: ${why}`, cause);
}

function closed(): DriverError {
  return new DriverError("unavailable", "the driver stops: its worker threads have ended");
}
