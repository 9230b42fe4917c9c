import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { AwayRoom, PullPlace } from "./pull-place.ts";
import type { PlaceAsk } from "./worker-calls.ts";

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

function use({ room = new AwayRoom(), layers = 1 } = {}) {
  const clock = new ManualClock();
  const asked: string[] = [];
  let taken = Promise.withResolvers<void>();
  const ask = async (what: PlaceAsk) => {
    asked.push(what.place);
    if (what.place === "take") await taken.promise;
  };
  const place = new PullPlace({ ask, clock, room, layers });
  const pass = async (ms: number) => {
    clock.advance(ms);
    await turn();
  };
  const letIn = () => {
    taken.resolve();
    taken = Promise.withResolvers();
  };
  return { place, asked, pass, letIn };
}

test("a pull for which nothing comes lets others go first, and takes a place again before bytes", async () => {
  const { place, asked, pass, letIn } = use();
  const [a, b] = [place.begin(never), place.begin(never)];
  a.idle("answer");
  await pass(10_000);
  assert.deepEqual(asked, [], "something comes for the other blob");
  b.idle("answer");
  await pass(249);
  assert.deepEqual(asked, []);
  await pass(1);
  assert.deepEqual(asked, ["leave"]);
  let isBusy = false;
  const busy = a.busy().then(() => {
    isBusy = true;
  });
  const both = b.busy();
  await turn();
  assert.deepEqual(asked, ["leave", "take"]);
  assert.equal(isBusy, false);
  letIn();
  await Promise.all([busy, both]);
  assert.deepEqual(asked, ["leave", "take"]);
});

test("a registry that answers soon costs no place", async () => {
  const { place, asked, pass } = use();
  const fetch = place.begin(never);
  for (let i = 0; i < 10; i++) {
    fetch.idle("answer");
    await pass(200);
    await fetch.busy();
  }
  await pass(10_000);
  assert.deepEqual(asked, []);
});

test("who is to ask later lets others go first at once", async () => {
  const { place, asked, pass } = use();
  const [a, b] = [place.begin(never), place.begin(never)];
  a.idle("pause");
  b.idle("answer");
  await pass(0);
  assert.deepEqual(asked, []);
  b.idle("pause");
  await pass(0);
  assert.deepEqual(asked, ["leave"]);
});

test("blobs that are over do not count", async () => {
  const { place, asked, pass } = use();
  const [a, b] = [place.begin(never), place.begin(never)];
  a.idle("answer");
  b.over();
  await pass(500);
  assert.deepEqual(asked, ["leave"]);
  a.over();
  await pass(10_000);
  assert.deepEqual(asked, ["leave"]);
});

test("only so much may be away, but who waits for another pull lets go in any case", async () => {
  const room = new AwayRoom();
  const large = use({ room, layers: 15_000 });
  large.place.begin(never).idle("answer");
  await large.pass(500);
  const more = use({ room, layers: 10_000 });
  const fetch = more.place.begin(never);
  fetch.idle("answer");
  await more.pass(5_000);
  assert.deepEqual([large.asked, more.asked], [["leave"], []]);
  await fetch.busy();
  fetch.idle("pull");
  await more.pass(500);
  assert.deepEqual(more.asked, ["leave"]);
  large.place.end();
  const next = use({ room, layers: 20_000 });
  next.place.begin(never).idle("answer");
  await next.pass(500);
  assert.deepEqual(next.asked, ["leave"]);
});

test("a pull that has to go again before it has its place holds its room still", async () => {
  const room = new AwayRoom();
  const large = use({ room, layers: 15_000 });
  const fetch = large.place.begin(never);
  fetch.idle("answer");
  await large.pass(500);
  const busy = fetch.busy();
  fetch.idle("pause");
  await large.pass(0);
  large.letIn();
  await busy;
  await large.pass(0);
  assert.deepEqual(large.asked, ["leave", "take", "leave"]);
  const more = use({ room, layers: 10_000 });
  more.place.begin(never).idle("answer");
  await more.pass(500);
  assert.deepEqual(more.asked, []);
});

test("who gives up waits for no place", async () => {
  const { place, pass } = use();
  const caller = new AbortController();
  const fetch = place.begin(caller.signal);
  fetch.idle("answer");
  await pass(500);
  const busy = fetch.busy();
  caller.abort(new Error("gone"));
  await assert.rejects(busy, /gone/);
});
