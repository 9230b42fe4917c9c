import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { before, test } from "node:test";
import { createServer } from "node:tls";
import { failsAs, RawServer, ScriptedServer, useClient } from "../../test/registry-client/index.ts";
import { type Certificates, createCertificates } from "../../test/registry/index.ts";
import { digestOf } from "../oci/index.ts";
import { anonymous, type Transport } from "./index.ts";

let tls: Certificates;
before(async () => {
  tls = await createCertificates();
});

const repositoryAt = (registry: string, transport: Transport) => ({ registry, repository: "org/app", transport });

test("TLS with a root that was given, by address and by name", async () => {
  await using secure = await ScriptedServer.start(() => ({ body: "{}" }), tls);
  await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
  for (const host of [secure.host, secure.host.replace("127.0.0.1", "localhost")]) {
    await bench.client.fetchManifest(bench.query({ repository: repositoryAt(host, "https") }));
  }
  assert.equal(secure.seen.length, 2);
});

test("TLS that is not verified", async () => {
  await using secure = await ScriptedServer.start(() => ({ body: "{}" }), tls);
  await using bench = await useClient(() => ({}));
  await bench.client.fetchManifest(bench.query({ repository: repositoryAt(secure.host, "insecure") }));
});

test("a connection that was not verified never serves a request that wants it verified", async () => {
  await using secure = await ScriptedServer.start(() => ({ body: "{}" }), tls);
  await using bench = await useClient(() => ({}));
  await bench.client.fetchManifest(bench.query({ repository: repositoryAt(secure.host, "insecure") }));
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository: repositoryAt(secure.host, "https") })),
    failsAs(
      "unavailable",
      /its certificate is not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/,
      /--ca-file.*oras\.options\.insecure: "true"/,
    ),
  );
});

test("a certificate for another host", async () => {
  await using secure = await ScriptedServer.start(() => ({ body: "{}" }), tls, "127.0.0.2");
  await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository: repositoryAt(secure.host, "https") })),
    failsAs("unavailable", /its certificate is for another host;/),
  );
});

test("https to a server that speaks plain http", async () => {
  await using bench = await useClient(() => ({ body: "{}" }));
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository: repositoryAt(bench.server.host, "https") })),
    failsAs("unavailable", /does not speak TLS; .*oras\.options\.plainhttp: "true"/),
  );
});

test("plain http to a server that speaks TLS", async () => {
  const alert = Buffer.from([21, 3, 1, 0, 2, 2, 70]);
  await using raw = await RawServer.start(async (peer) => void (await peer.answer(alert)));
  await using bench = await useClient(() => ({}));
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository: repositoryAt(`127.0.0.1:${raw.port}`, "http") })),
    failsAs("unavailable", /the answer is not HTTP\/1\.1; if it speaks https, drop oras\.options\.plainhttp/),
  );
});

test("no such host, and nobody there", async () => {
  await using bench = await useClient(() => ({}));
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository: repositoryAt("no-such-host.invalid", "https") })),
    failsAs(
      "unavailable",
      /^cannot fetch the manifest of no-such-host\.invalid\/org\/app:v1 from no-such-host\.invalid: (no such host|the host's name cannot be looked up); check the host/,
    ),
  );
  const raw = await RawServer.start(() => undefined);
  const { port } = raw;
  await raw[Symbol.asyncDispose]();
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository: repositoryAt(`127.0.0.1:${port}`, "http") })),
    failsAs("unavailable", /: connection refused; check that this node can reach it$/),
  );
});

test("bytes come whole through TLS and a sink that takes its time", async () => {
  const sent = Buffer.alloc(5 * 1024 * 1024).map((_, i) => (i * 7 + (i >> 11)) & 0xff);
  await using secure = await ScriptedServer.start(() => ({ body: Buffer.from(sent) }), tls);
  await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
  const got: Buffer[] = [];
  await bench.client.fetchBlob({
    repository: repositoryAt(secure.host, "https"),
    credential: anonymous,
    descriptor: { digest: digestOf(sent), size: sent.length },
    sink: {
      restart: () => assert.fail("restarted"),
      write: async (chunk) => {
        await new Promise((resolve) => setImmediate(resolve));
        got.push(Buffer.from(chunk));
      },
    },
  });
  assert.ok(Buffer.concat(got).equals(Buffer.from(sent)));
});

test("a body that only the end of its TLS connection ends is whole", async () => {
  const sent = Buffer.alloc(100_000, "0123456789");
  const server = createServer({ key: tls.key, cert: tls.cert }, (socket) => {
    socket
      .on("error", () => undefined)
      .once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n");
        socket.end(sent);
      });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  try {
    await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
    const got: Buffer[] = [];
    await bench.client.fetchBlob({
      repository: repositoryAt(`127.0.0.1:${(server.address() as AddressInfo).port}`, "https"),
      credential: anonymous,
      descriptor: { digest: digestOf(sent), size: sent.length },
      sink: { restart: () => assert.fail("restarted"), write: (chunk) => void got.push(Buffer.from(chunk)) },
    });
    assert.ok(Buffer.concat(got).equals(sent));
  } finally {
    server.close();
  }
});

test("a connection over TLS that ends while more was decrypted takes nobody's thread", async () => {
  const sent = Buffer.alloc(5 * 1024 * 1024);
  await using secure = await ScriptedServer.start(() => ({ body: sent }), tls);
  await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
  for (let i = 0; i < 20; i++) {
    const stop = new AbortController();
    const fetched = bench.client.fetchBlob({
      repository: repositoryAt(secure.host, "https"),
      credential: anonymous,
      descriptor: { digest: digestOf(sent), size: sent.length },
      signal: stop.signal,
      sink: {
        restart: () => assert.fail("restarted"),
        write: () => stop.abort(new Error("enough")),
      },
    });
    await assert.rejects(fetched, /enough/);
    await new Promise((resolve) => setImmediate(resolve));
  }
});
