import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Semaphore } from "./semaphore.ts";

/** Lets everything run that can. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("as many as its size are in at once, the others follow in order", async () => {
  const semaphore = new Semaphore(2);
  const seen: number[] = [];
  const releases: (() => void)[] = [];
  for (let i = 0; i < 5; i++) {
    void semaphore.acquire().then((release) => {
      seen.push(i);
      releases.push(release);
    });
  }
  await settle();
  assert.deepEqual([seen, semaphore.waiting], [[0, 1], 3]);
  releases[1]?.();
  await settle();
  assert.deepEqual([seen, semaphore.waiting], [[0, 1, 2], 2]);
  releases[0]?.();
  releases[2]?.();
  await settle();
  assert.deepEqual([seen, semaphore.waiting], [[0, 1, 2, 3, 4], 0]);
});

test("a place is given back once", async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  release();
  release();
  await semaphore.acquire();
  void semaphore.acquire();
  await settle();
  assert.equal(semaphore.waiting, 1);
});

test("who gives up leaves the queue; its place in it goes to the next", async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  const controller = new AbortController();
  const givenUp = semaphore.acquire(controller.signal);
  const next = semaphore.acquire();
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(givenUp, reason);
  assert.equal(semaphore.waiting, 1);
  release();
  (await next)();
  assert.equal(semaphore.waiting, 0);
  (await semaphore.acquire())();
});

test("a signal that fired before takes no place", async () => {
  const semaphore = new Semaphore(1);
  await assert.rejects(semaphore.acquire(AbortSignal.abort(new Error("no"))), /no/);
  (await semaphore.acquire())();
});

test("a signal that lives long gathers no listeners", async () => {
  const semaphore = new Semaphore(1);
  const { signal } = new AbortController();
  for (let i = 0; i < 5; i++) {
    const release = await semaphore.acquire(signal);
    const waiting = semaphore.acquire(signal);
    release();
    (await waiting)();
  }
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("who does not wait gets a free place or none", async () => {
  const semaphore = new Semaphore(1);
  const release = semaphore.tryAcquire();
  assert.ok(release);
  assert.equal(semaphore.tryAcquire(), undefined);
  const waiting = semaphore.acquire();
  release();
  release();
  assert.equal(semaphore.tryAcquire(), undefined);
  (await waiting)();
  assert.ok(semaphore.tryAcquire());
});

test("who is in a hurry goes before the rest, in order", async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  const came: string[] = [];
  const wait = async (name: string, isUrgent = false) => {
    const done = await semaphore.acquire(undefined, { isUrgent, group: "" });
    came.push(name);
    done();
  };
  const all = [wait("a"), wait("b"), wait("c", true), wait("d", true), wait("e")];
  release();
  await Promise.all(all);
  assert.deepEqual(came, ["c", "d", "a", "b", "e"]);
});

test("groups take turns, those of one group come in order", async () => {
  const semaphore = new Semaphore(1);
  const came: string[] = [];
  const wait = async (name: string, isUrgent = false) => {
    const done = await semaphore.acquire(undefined, { isUrgent, group: name.slice(0, 1) });
    came.push(name);
    await settle();
    done();
  };
  const all = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"].map((name) => wait(name));
  all.push(wait("a5", true));
  await Promise.all(all);
  assert.deepEqual(came, ["a1", "a5", "b1", "c1", "a2", "b2", "a3", "a4"]);
  const later = ["a6", "a7", "d1"].map((name) => wait(name));
  await Promise.all(later);
  assert.deepEqual(came.slice(8), ["a6", "d1", "a7"]);
});
