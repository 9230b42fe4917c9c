import { errorFromData, type Memory } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import type { Repository } from "../registry/index.ts";
import { diskErrorFrom } from "./disk-error.ts";
import type { RunningPull } from "./pull.ts";
import type { PullAsk } from "./worker-calls.ts";

/** For which pull the worker asks something, and what answers. */
export interface AskingPull {
  readonly cache: Cache;
  readonly memory: Memory;
  readonly repository: Repository;
  readonly reference: string;
  /** Undefined for what is fetched for one volume alone. */
  readonly pull?: RunningPull | undefined;
}

/**
 * Answers what the worker asks while it pulls. What the disk says must be understood here: on the worker's side it would
 * be a failure like any other.
 */
export async function answerPull(ask: PullAsk, asking: AskingPull): Promise<unknown> {
  const { cache, memory, repository, reference, pull } = asking;
  if ("offer" in ask) {
    const { refused } = ask.offer;
    return pull?.offer(refused && { id: refused.id, error: errorFromData(refused.error) });
  }
  if ("place" in ask) return ask.place === "leave" ? pull?.leavePlace() : pull?.takePlace();
  try {
    if ("given" in ask) return await cache.references.rememberGiven(repository, ask.given);
    await cache.commitLayer(ask);
    // What a large layer took would else stay with its thread.
    await memory.trim();
  } catch (error) {
    throw diskErrorFrom(error, `pull ${reference}`);
  }
  return undefined;
}
