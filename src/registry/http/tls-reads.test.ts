import assert from "node:assert/strict";
import { before, test } from "node:test";
import { type Certificates, createCertificates } from "../../../test/registry/index.ts";
import { ok, usePool } from "../../../test/registry-client/pool-bench.ts";

let tls: Certificates;
before(async () => {
  tls = await createCertificates();
});

const SENT = Buffer.alloc(2 * 1024 * 1024).map((_, i) => (i * 7 + (i >> 13)) & 0xff);

/** A body of which a sink has the first chunk and is not done with it, while TLS has read on. */
async function useBusySink() {
  const bench = await usePool(
    async (peer) => {
      if (peer.number > 0) return void (await peer.answer(ok("next")));
      await peer.readRequest();
      peer.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SENT.length}\r\n\r\n`);
      peer.socket.write(SENT);
    },
    {},
    tls,
  );
  const stop = new AbortController();
  const { body } = await bench.pool.request(bench.request({ signal: stop.signal }));
  const taken = Promise.withResolvers<Buffer>();
  const free = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  const reading = body.readInto((chunk) => {
    chunks.push(Buffer.from(chunk));
    taken.resolve(chunk);
    return free.promise;
  });
  const held = await taken.promise;
  await turns();
  return { bench, stop, held, chunks, reading, free: free.resolve };
}

/** Enough of them for what is on its way in this process. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
}

test("an abort while a sink is busy ends a TLS connection, leaves what the sink has, and hands on no more", async () => {
  const { bench, stop, held, chunks, reading, free } = await useBusySink();
  await using _ = bench;
  stop.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
  await bench.server.peers[0]?.closed;
  await turns();
  assert.ok(held.length > 0 && held.equals(SENT.subarray(0, held.length)));
  free();
  await turns();
  assert.equal(chunks.length, 1);
  assert.equal(await bench.get(), "next");
});

test("what TLS read on while a sink was busy comes whole and in order afterwards", async () => {
  const { bench, chunks, reading, free } = await useBusySink();
  await using _ = bench;
  free();
  await reading;
  assert.ok(Buffer.concat(chunks).equals(SENT));
});
