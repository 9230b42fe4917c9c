import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeMounter } from "../../test/fakes/fake-mounter.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { DriverError } from "../base/index.ts";
import { createBoundedMounter } from "./bounded-mounter.ts";
import type { Mounter } from "./mounter.ts";

/** A bounded mounter over one whose looks wait until the test answers them. */
function use() {
  const fake = new FakeMounter();
  const clock = new ManualClock();
  const asked: string[] = [];
  const answers: PromiseWithResolvers<boolean>[] = [];
  const slow: Mounter = {
    bind: (options) => fake.bind(options),
    overlay: (options) => fake.overlay(options),
    refreshOverlay: (target) => fake.refreshOverlay(target),
    unmount: (target, how) => fake.unmount(target, how),
    lookAt: (path) => (path === "/stuck" ? new Promise(() => asked.push(path)) : fake.lookAt(path)),
    mountAt: (path) => fake.mountAt(path),
    isDead(path) {
      asked.push(path);
      const answer = Promise.withResolvers<boolean>();
      answers.push(answer);
      return answer.promise;
    },
    mountHolding: (path) => fake.mountHolding(path),
    mountsBelow: (path) => fake.mountsBelow(path),
    mounts: () => fake.mounts(),
  };
  return { fake, clock, asked, answers, mounter: createBoundedMounter(slow, { clock, limitMs: 1000 }) };
}

/** Lets what was settled run on. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function saysHangs(path: string) {
  return (error: unknown) =>
    error instanceof DriverError && error.kind === "unavailable" && error.message.includes(`${path} does not answer`);
}

test("an answer in time is the answer, and leaves no timer", async () => {
  const { fake, clock, answers, mounter } = use();
  fake.mountForeign("/a");
  const dead = mounter.isDead("/a");
  await turn();
  answers[0]?.resolve(true);
  assert.equal(await dead, true);
  assert.equal(await mounter.isDead("/nothing"), false);
  assert.equal(clock.pending, 0);
});

test("what hangs is asked once, however often the question comes", async () => {
  const { fake, clock, asked, mounter } = use();
  fake.mountForeign("/a");
  for (let i = 0; i < 3; i++) {
    const outcome = assert.rejects(mounter.isDead("/a"), saysHangs("/a"));
    await turn();
    clock.advance(1000);
    await outcome;
  }
  assert.deepEqual(asked, ["/a"]);
});

test("two at most are asked at once; the others are told the same, and asked when there is room", async () => {
  const { fake, clock, asked, answers, mounter } = use();
  for (const path of ["/a", "/b", "/c"]) fake.mountForeign(path);
  const outcomes = ["/a", "/b", "/c"].map((path) => assert.rejects(mounter.isDead(path), saysHangs(path)));
  await turn();
  assert.deepEqual(asked, ["/a", "/b"]);
  clock.advance(1000);
  await Promise.all(outcomes);
  answers[0]?.reject(new Error("aborted"));
  await turn();
  assert.deepEqual(asked, ["/a", "/b", "/c"]);
});

test("another mount at the same place is asked anew", async () => {
  const { fake, clock, asked, mounter } = use();
  fake.mountForeign("/a");
  const outcome = assert.rejects(mounter.isDead("/a"), saysHangs("/a"));
  await turn();
  clock.advance(1000);
  await outcome;
  await mounter.unmount("/a", "detach");
  fake.mountForeign("/a");
  mounter.isDead("/a").catch(() => undefined);
  await turn();
  assert.deepEqual(asked, ["/a", "/a"]);
});

test("a place that cannot even be looked at takes one thread, until it is unmounted", async () => {
  const { clock, asked, mounter } = use();
  const outcome = assert.rejects(mounter.mountAt("/stuck"), saysHangs("/stuck"));
  clock.advance(1000);
  await outcome;
  await assert.rejects(mounter.mountAt("/stuck"), saysHangs("/stuck"));
  assert.equal(asked.length, 1);
  await mounter.unmount("/stuck", "detach");
  mounter.mountAt("/stuck").catch(() => undefined);
  assert.equal(asked.length, 2);
});
