import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, createLogger, DriverError } from "../base/index.ts";
import type { Tree } from "../cache/index.ts";
import type { PullWork } from "./pull.ts";
import type { ObservedPull, PullObserver } from "./pull-observer.ts";
import { Pulls } from "./pulls.ts";

/** Pulls with one place, a clock that stands still unless it is moved, and an observer that takes down what it is told. */
function usePulls() {
  const told: string[] = [];
  let ms = 0;
  const clock: Clock = { now: () => ms, monotonicMs: () => ms, after: () => () => undefined };
  let count = 0;
  const observer: PullObserver = {
    treeLookedUp: (found) => told.push(`tree ${found}`),
    pullQueued(): ObservedPull {
      const name = `pull ${++count}`;
      told.push(`${name} queued`);
      return {
        started: () => told.push(`${name} started`),
        progressed: ({ fetchedBytes }) => told.push(`${name} fetched ${fetchedBytes}`),
        ended: (result, seconds) => told.push(`${name} ${result} after ${seconds}`),
      };
    },
  };
  const log = createLogger({ level: "silent", format: "json", write: () => undefined });
  const pulls = new Pulls({ maxPulls: 1, clock, log, observer });
  const join = (volume: string, work: PullWork) =>
    pulls.join({ volume, key: volume, reference: "r", registry: "r", offer, work });
  const moveTo = (seconds: number) => {
    ms = seconds * 1000;
  };
  return { pulls, join, told, moveTo };
}

const offer = { credentials: [], refused: async () => undefined };
const tree = { id: "t" } as unknown as Tree;

test("an observer hears of turns, bytes and ends, and of nothing twice", async () => {
  const { join, told, moveTo } = usePulls();
  const ended = Promise.withResolvers<Tree>();
  const first = join("a", ({ onEvent }) => {
    const bytes = (fetchedBytes: number) =>
      onEvent({
        phase: "fetching",
        doneBytes: 0,
        totalBytes: 9,
        fetchedBytes,
        mirrorBytes: 0,
        resumedBytes: 0,
        retries: 0,
      });
    for (const fetchedBytes of [0, 5, 5, 9]) bytes(fetchedBytes);
    onEvent({ failedTry: "x" });
    return ended.promise;
  });
  assert.equal(
    join("a", () => ended.promise),
    first,
  );
  const second = join("b", async () => {
    moveTo(70);
    throw new DriverError("corrupt", "wrong bytes");
  });
  assert.deepEqual(told.splice(0), ["pull 1 queued", "pull 2 queued"]);
  await new Promise(setImmediate);
  const fetched = told.splice(0);
  assert.deepEqual(fetched[0], "pull 1 started");
  assert.equal(fetched.length, 5);
  assert.equal(sum(fetched.slice(1)), 9);
  moveTo(60);
  ended.resolve(tree);
  await first.outcome;
  await assert.rejects(second.outcome);
  await new Promise(setImmediate);
  assert.deepEqual(told, ["pull 1 ok after 60", "pull 2 started", "pull 2 corrupt after 10"]);
});

test("an observer hears the end of a pull that never had its turn, and of a fault", async () => {
  const { pulls, join, told } = usePulls();
  const ended = Promise.withResolvers<Tree>();
  const first = join("a", () => ended.promise);
  const waiting = join("b", async () => tree);
  pulls.leave("b");
  await assert.rejects(waiting.outcome);
  ended.reject(new TypeError("a fault of the driver"));
  await assert.rejects(first.outcome);
  await new Promise(setImmediate);
  const ends = told.filter((line) => line.includes("after"));
  assert.deepEqual(ends, ["pull 2 cancelled after 0", "pull 1 internal after 0"]);
});

function sum(lines: readonly string[]): number {
  return lines.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
}
