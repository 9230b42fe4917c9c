import assert from "node:assert/strict";
import { test } from "node:test";
import { SingleFlight } from "./single-flight.ts";

test("callers of one key share the work under way, others do not", async () => {
  const flight = new SingleFlight<string>();
  const started: string[] = [];
  const end = Promise.withResolvers<void>();
  const start = (name: string) => async () => {
    started.push(name);
    await end.promise;
    return name;
  };
  const runs = [flight.run("a", start("a1")), flight.run("a", start("a2")), flight.run("b", start("b1"))];
  end.resolve();
  assert.deepEqual(await Promise.all(runs), ["a1", "a1", "b1"]);
  assert.deepEqual(started, ["a1", "b1"]);
});

test("what is over is not shared: the next caller starts anew", async () => {
  const flight = new SingleFlight<number>();
  let count = 0;
  const start = async () => ++count;
  assert.equal(await flight.run("a", start), 1);
  assert.equal(await flight.run("a", start), 2);
});

test("a failure is shared by those who wait, and forgotten", async () => {
  const flight = new SingleFlight<string>();
  const fail = () => Promise.reject(new Error("no"));
  const outcomes = await Promise.allSettled([flight.run("a", fail), flight.run("a", async () => "unused")]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ["rejected", "rejected"],
  );
  assert.equal(await flight.run("a", async () => "works"), "works");
});

test("work that throws before it returns a promise rejects, and leaves the key free", async () => {
  const flight = new SingleFlight<string>();
  const run = flight.run("a", () => {
    throw new Error("at once");
  });
  await assert.rejects(run, /at once/);
  assert.equal(await flight.run("a", async () => "works"), "works");
});
