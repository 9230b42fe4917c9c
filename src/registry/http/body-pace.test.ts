import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ManualClock } from "../../../test/registry-client/index.ts";
import { BodyPace } from "./body-pace.ts";

const MINUTE_MS = 60_000;

interface Bench {
  readonly clock: ManualClock;
  readonly pace: BodyPace;
  /** What comes each second, for so long; the first problem, and when it was seen. */
  run(bytesPerSecond: number, forMs: number): [problem: string, atMs: number] | undefined;
}

function use(stallTimeoutMs = 30_000): Bench {
  const clock = new ManualClock();
  const pace = new BodyPace(clock, stallTimeoutMs);
  const startMs = clock.monotonicMs();
  const run = (bytesPerSecond: number, forMs: number): [string, number] | undefined => {
    for (const endMs = clock.monotonicMs() + forMs; clock.monotonicMs() < endMs; ) {
      clock.advance(1000);
      if (bytesPerSecond > 0) pace.moved(bytesPerSecond);
      const problem = pace.problem();
      if (problem !== undefined) return [problem, clock.monotonicMs() - startMs];
    }
    return undefined;
  };
  return { clock, pace, run };
}

const tooLittle = "the connection brought next to nothing for minutes";

describe("a body", () => {
  test("that is silent for as long as it may be ends", () => {
    const { run } = use();
    assert.deepEqual(run(0, MINUTE_MS), ["the connection brought nothing more", 30_000]);
  });

  test("of less than 1 KiB a second ends after five minutes, though it is never silent", () => {
    assert.deepEqual(use().run(1, 60 * MINUTE_MS), [tooLittle, 5 * MINUTE_MS]);
    assert.deepEqual(use().run(1023, 60 * MINUTE_MS), [tooLittle, 5 * MINUTE_MS]);
  });

  test("of 1 KiB a second goes on for hours", () => {
    assert.equal(use().run(1024, 3 * 60 * MINUTE_MS), undefined);
  });

  test("that was fast once ends all the same", () => {
    const { pace, run } = use();
    pace.moved(1e9);
    assert.deepEqual(run(1, 60 * MINUTE_MS), [tooLittle, 10 * MINUTE_MS]);
  });

  test("that nobody takes does not age: a bound on bandwidth may let it rest for hours", () => {
    const { clock, pace, run } = use();
    for (let read = 0; read < 100; read++) {
      assert.equal(run(200, 1000), undefined);
      pace.rest();
      clock.advance(60 * MINUTE_MS);
      assert.deepEqual([pace.problem(), pace.dueMs], [undefined, 30_000]);
      pace.wake();
      assert.equal(pace.problem(), undefined);
    }
    // 100 of its own seconds are over.
    assert.equal(run(200, 199_000), undefined);
    assert.equal(run(200, 1000)?.[0], tooLittle);
  });

  test("has longer where silences may be long", () => {
    assert.deepEqual(use(10 * MINUTE_MS).run(1, 1000 * MINUTE_MS), [tooLittle, 100 * MINUTE_MS]);
  });

  test("is looked at again when a silence would be too long", () => {
    const { clock, pace } = use();
    clock.advance(10_000);
    assert.equal(pace.dueMs, 20_000);
    pace.moved(1);
    assert.equal(pace.dueMs, 30_000);
  });
});
