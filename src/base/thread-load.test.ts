import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ThreadLoad } from "./thread-load.ts";

test("a thread that works is busy, one that waits is not", async () => {
  const load = new ThreadLoad();
  await delay(50);
  load.sample();
  const endMs = performance.now() + 300;
  while (performance.now() < endMs);
  await delay(1);
  const busy = load.sample();
  await delay(300);
  const idle = load.sample();
  assert.ok(busy > idle && busy <= 1 && idle >= 0, `${busy} and ${idle}`);
});
