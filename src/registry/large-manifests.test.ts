import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/registry-client/index.ts";
import type { ChunkSink, HttpBody } from "./http/http-types.ts";
import { TransportError } from "./http/transport-error.ts";
import { LargeManifests } from "./large-manifests.ts";

const HALF = Buffer.alloc(256 * 1024, "x");
const MAX_BYTES = 4 * 1024 * 1024;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Bodies without a length that hosts send piece by piece. */
function use() {
  const clock = new ManualClock();
  const manifests = new LargeManifests(clock);
  const begin = (host: string, signal?: AbortSignal) => {
    const end = Promise.withResolvers<void>();
    let sink: ChunkSink = () => assert.fail("nobody reads");
    const readInto: HttpBody["readInto"] = (into) => {
      sink = into;
      return end.promise;
    };
    const body = { length: undefined, readInto, readAtMost: () => assert.fail(), discard: () => assert.fail() };
    const target = { scheme: "https", host, port: 443, path: "/" } as const;
    const read = manifests.read({ body, target }, MAX_BYTES, signal);
    read.catch(() => undefined);
    /** As a connection does: it waits for the sink, and ends with its failure. */
    const send = async (piece: Buffer) => {
      try {
        await sink(piece);
      } catch (error) {
        end.reject(error);
      }
    };
    return { read, send, end: () => end.resolve() };
  };
  return { clock, begin };
}

/** Whether a body's connection may bring more. */
async function isTaken(sent: Promise<void>): Promise<boolean> {
  let taken = false;
  void sent.then(() => {
    taken = true;
  });
  await turn();
  return taken;
}

test("of manifests without a length eight large ones are in memory at once, whoever sends them; small ones do not wait", async () => {
  const { begin } = use();
  const bodies = Array.from({ length: 9 }, (_, i) => begin(`host-${i}`));
  const sent: Promise<void>[] = [];
  for (const body of bodies) {
    await body.send(HALF);
    sent.push(body.send(HALF));
  }
  const taken = [];
  for (const one of sent) taken.push(await isTaken(one));
  assert.deepEqual(taken, [...Array(8).fill(true), false]);
  const small = begin("host-10");
  assert.equal(await isTaken(small.send(HALF)), true);
  bodies[3]?.end();
  assert.equal((await bodies[3]?.read)?.bytes.length, 2 * HALF.length);
  assert.equal(await isTaken(sent[8] ?? assert.fail()), true);
});

test("large manifests of one host come one after the other, and one that nobody wants any more holds up none", async () => {
  const { begin } = use();
  const caller = new AbortController();
  const [first, second, third] = [begin("a"), begin("a", caller.signal), begin("a")];
  const sent = [first, second, third].map((body) => body.send(Buffer.concat([HALF, HALF])));
  assert.deepEqual(await Promise.all(sent.map(isTaken)), [true, false, false]);
  caller.abort(new Error("gone"));
  await assert.rejects(second.read, /gone/);
  first.end();
  assert.equal((await first.read).whole, true);
  assert.equal(await isTaken(sent[2] ?? assert.fail()), true);
});

test("a large manifest that takes too long gives way", async () => {
  const { begin, clock } = use();
  const slow = begin("a");
  await slow.send(Buffer.concat([HALF, HALF]));
  const next = begin("a").send(Buffer.concat([HALF, HALF]));
  clock.advance(180_001);
  await slow.send(Buffer.alloc(1));
  await assert.rejects(slow.read, (error) => error instanceof TransportError && error.fault === "stalled");
  assert.equal(await isTaken(next), true);
});

test("what is over the limit is told", async () => {
  const { begin } = use();
  const body = begin("a");
  for (let i = 0; i < 17; i++) await body.send(HALF);
  assert.deepEqual(await body.read.then(({ bytes, whole }) => [bytes.length, whole]), [MAX_BYTES, false]);
});
