import assert from "node:assert/strict";
import { test } from "node:test";
import { type LogLine, listLogger } from "../../test/csi/csi-server.ts";
import { type Clock, DriverError, systemClock } from "../base/index.ts";
import { type HealthCheck, HealthChecks } from "./health-checks.ts";

function useChecks(...checks: readonly HealthCheck[]) {
  const lines: LogLine[] = [];
  let fire: () => void = () => undefined;
  // Timers fire when the test says so.
  const clock: Clock = {
    ...systemClock,
    after(_, run) {
      fire = run;
      return () => undefined;
    },
  };
  const health = new HealthChecks({ name: "health", checks, clock, logger: listLogger(lines) });
  return { health, lines, timeIsUp: () => fire() };
}

test("checks that pass are no news", async () => {
  const { health, lines } = useChecks({ name: "a", run: async () => undefined });
  assert.equal(await health.run(), undefined);
  assert.deepEqual(lines, []);
  assert.equal(await useChecks().health.run(), undefined);
});

test("all that fails is told in one line, and in the log when it changes", async () => {
  let reason: Error | undefined = new DriverError("unavailable", "the socket\n is gone");
  const failing = () => (reason === undefined ? Promise.resolve() : Promise.reject(reason));
  const { health, lines } = useChecks(
    { name: "a", run: failing },
    { name: "b", run: async () => undefined },
    { name: "c", run: () => Promise.reject(new Error("EIO")) },
  );
  assert.equal(await health.run(), "the socket is gone; c: EIO");
  assert.equal(await health.run(), "the socket is gone; c: EIO");
  reason = undefined;
  assert.equal(await health.run(), "c: EIO");
  const told = lines.map(({ level, msg, ...rest }) => [level, msg, rest["reason"]]);
  assert.deepEqual(told, [
    ["warn", "health is bad", "the socket is gone; c: EIO"],
    ["warn", "health is bad", "c: EIO"],
  ]);
});

test("a check that hangs is told in time, and is not started again before it ends", async () => {
  let runs = 0;
  let end = Promise.withResolvers<void>();
  const run = () => {
    runs++;
    return end.promise;
  };
  const { health, lines, timeIsUp } = useChecks({ name: "the disk", run });
  for (let asked = 0; asked < 3; asked++) {
    const outcome = health.run();
    timeIsUp();
    assert.equal(await outcome, "the disk: no answer within 3 s");
  }
  assert.equal(runs, 1);
  end.resolve();
  await new Promise(setImmediate);
  end = Promise.withResolvers<void>();
  end.resolve();
  assert.equal(await health.run(), undefined);
  assert.equal(runs, 2);
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ["health is bad", "health is good again"],
  );
});

test("a very long reason is cut", async () => {
  const { health } = useChecks({ name: "a", run: () => Promise.reject(new Error("x".repeat(5000))) });
  assert.equal((await health.run())?.length, 1000);
});
