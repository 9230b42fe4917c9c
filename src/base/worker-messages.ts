import type { ErrorData } from "./errors.ts";

/** What one call of a worker takes and gives. All of it must survive a structured clone. */
export interface CallShape {
  readonly payload: unknown;
  readonly result: unknown;
  /** What the worker tells while it works; `never` if nothing. */
  readonly event: unknown;
  /** What the worker needs done, or to know, from the other side before it goes on; `never` if nothing. */
  readonly ask: unknown;
}

/** The calls of a worker, by name. */
export type CallTable = Readonly<Record<string, CallShape>>;

/** From the caller's side to the worker. */
export type ToWorker =
  | { readonly kind: "call"; readonly id: number; readonly name: string; readonly payload: unknown }
  | { readonly kind: "cancel"; readonly id: number }
  | {
      readonly kind: "answer";
      readonly askId: number;
      readonly error: ErrorData | undefined;
      readonly value?: unknown;
    };

/** From the worker to the caller's side. */
export type FromWorker =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: ErrorData }
  | { readonly kind: "event"; readonly id: number; readonly value: unknown }
  | { readonly kind: "ask"; readonly id: number; readonly askId: number; readonly value: unknown };
