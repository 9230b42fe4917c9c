import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  failsAs,
  ManualClock,
  nodeConfig,
  podSecret,
  RawServer,
  type ScriptedAnswer,
  useClient,
} from "../../test/registry-client/index.ts";
import { createSilentLogger, DriverError, type ErrorKind, Semaphore } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { Authorizer } from "./auth/authorizer.ts";
import { HostRest } from "./host-rest.ts";
import type { HttpBody, HttpRequest, HttpResponse } from "./http/http-types.ts";
import { anonymous } from "./index.ts";
import { KnownEndpoints } from "./known-endpoints.ts";
import { LargeManifests } from "./large-manifests.ts";
import { fetchManifest } from "./manifest-request.ts";
import { defaultRetryPolicy } from "./retry.ts";

const manifest = '{"schemaVersion":2}';

test("a tag's manifest, hashed here", async () => {
  await using bench = await useClient(() => ({
    body: manifest,
    headers: {
      "content-type": "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
      "docker-content-digest": "sha256:lies",
    },
  }));
  const found = await bench.client.fetchManifest(bench.query());
  assert.equal(Buffer.from(found.bytes).toString(), manifest);
  assert.equal(found.digest, digestOf(Buffer.from(manifest)));
  assert.equal(found.contentType, "application/vnd.oci.image.manifest.v1+json; charset=utf-8");
  assert.equal(found.credential, anonymous);
  const { url, headers } = bench.server.seen[0]!;
  assert.equal(url, "/v2/org/app/manifests/v1");
  assert.match(String(headers.accept), /^application\/\S+, .*vnd\.docker/);
});

test("a sha512 digest is verified by sha512", async () => {
  await using bench = await useClient(() => ({ body: manifest }));
  const digest = digestOf(Buffer.from(manifest), "sha512");
  assert.equal((await bench.client.fetchManifest(bench.query({ tagOrDigest: digest }))).digest, digest);
});

test("wrong bytes for a digest are corrupt, after one more try", async () => {
  await using bench = await useClient(() => ({ body: "other" }));
  const tagOrDigest = digestOf(Buffer.from(manifest));
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ tagOrDigest })),
    failsAs(
      "corrupt",
      /^cannot fetch the manifest of 127\.0\.0\.1:\d+\/org\/app@sha256:\w+ from 127/,
      /another digest/,
    ),
  );
  assert.equal(bench.server.seen.length, 2);
});

test("bytes that are wrong once only are fetched anew", async () => {
  await using bench = await useClient(() => ({ body: bench.server.seen.length === 1 ? "other" : manifest }));
  const tagOrDigest = digestOf(Buffer.from(manifest));
  assert.equal((await bench.client.fetchManifest(bench.query({ tagOrDigest }))).digest, tagOrDigest);
});

test("a manifest over 4 MiB is refused; one of 4 MiB is not", async () => {
  let length = 4 * 1024 * 1024;
  await using bench = await useClient(() => ({ body: Buffer.alloc(length, 32) }));
  assert.equal((await bench.client.fetchManifest(bench.query())).bytes.length, length);
  length++;
  await assert.rejects(bench.client.fetchManifest(bench.query()), failsAs("refused", /4194304 bytes/));
});

const refusals: { name: string; answer: ScriptedAnswer; kind: ErrorKind; says: RegExp[] }[] = [
  {
    name: "404 with the registry's own words",
    answer: {
      status: 404,
      body: '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\\nunknown","detail":{"x":"y"}}]}',
    },
    kind: "not-found",
    says: [/: 404 Not Found \(MANIFEST_UNKNOWN: manifest unknown\); tried: anonymous; check/, /org\/app:v1 from/],
  },
  {
    name: "401 without a challenge",
    answer: { status: 401 },
    kind: "unauthenticated",
    says: [/401 Unauthorized; tried: anonymous;/],
  },
  {
    name: "401 for Basic",
    answer: { status: 401, headers: { "www-authenticate": "Basic realm=x" } },
    kind: "unauthenticated",
    says: [/nodePublishSecretRef/],
  },
  {
    name: "403",
    answer: { status: 403, body: '{"errors":[{"code":"DENIED"}]}' },
    kind: "forbidden",
    says: [/403 Forbidden \(DENIED\)/],
  },
  {
    name: "a page of a proxy",
    answer: { status: 404, body: "<html><h1>Not here</h1>" },
    kind: "not-found",
    says: [/^((?!html|h1|Not here).)*$/],
  },
  {
    name: "markup and signed addresses in an error message",
    answer: {
      status: 403,
      body: '{"errors":[{"code":"X","message":"<b>see</b> https://s.example/a?sig=SECRET&x=1 now"}]}',
    },
    kind: "forbidden",
    says: [/\(X: see https:\/\/s\.example\/a now\)/],
  },
  {
    name: "an error body without end",
    answer: { status: 404, body: Buffer.alloc(1e6, 120) },
    kind: "not-found",
    says: [/404 Not Found; tried/],
  },
  {
    name: "an unknown scheme only",
    answer: { status: 401, headers: { "www-authenticate": "Negotiate" } },
    kind: "unavailable",
    says: [/cannot be answered: Negotiate;/],
  },
  { name: "400", answer: { status: 400 }, kind: "unavailable", says: [/400 Bad Request/] },
  {
    name: "http on a TLS port",
    answer: { status: 400, body: "Client sent an HTTP request to an HTTPS server.\n" },
    kind: "unavailable",
    says: [/drop oras\.options\.plainhttp/],
  },
  { name: "no content", answer: { status: 204 }, kind: "unavailable", says: [/204 No Content/] },
];
for (const { name, answer, kind, says } of refusals) {
  test(`refused: ${name}`, async () => {
    await using bench = await useClient(() => answer);
    const once = () => bench.client.fetchManifest(bench.query());
    await assert.rejects(once(), failsAs(kind, ...says));
    assert.equal(bench.server.seen.length, 1);
    const message = await once().catch((e: Error) => e.message);
    assert.equal(await once().catch((e: Error) => e.message), message, "the same failure, the same words");
  });
}

test("each credential is tried; the first refusal is the answer and names them all", async () => {
  await using bench = await useClient(({ headers }) => ({
    status: headers.authorization === undefined ? 401 : headers.authorization.endsWith(btoa("u:p")) ? 403 : 404,
    headers: { "www-authenticate": "Basic realm=x" },
  }));
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ credentials: [podSecret, nodeConfig, anonymous] })),
    failsAs("forbidden", /tried: the pod's secret, --docker-config, anonymous;/),
  );
});

test("the credential that was let in is told", async () => {
  await using bench = await useClient(({ headers }) => ({
    status: headers.authorization === `Basic ${btoa("n:q")}` ? 200 : 401,
    headers: { "www-authenticate": "Basic realm=x" },
    body: manifest,
  }));
  const found = await bench.client.fetchManifest(bench.query({ credentials: [podSecret, nodeConfig, anonymous] }));
  assert.equal(found.credential, nodeConfig);
});

test("a registry that hides what strangers may not see is asked how to log in", async () => {
  await using bench = await useClient(({ url, headers }) => {
    if (url === "/v2/") return { status: 401, headers: { "www-authenticate": "Basic realm=x" } };
    return headers.authorization === undefined ? { status: 404 } : { body: manifest };
  });
  assert.equal((await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }))).credential, podSecret);
  assert.deepEqual(
    bench.server.lines.map((line) => line.replace(/Basic .*/, "Basic")),
    ["GET /v2/org/app/manifests/v1 -", "GET /v2/ -", "GET /v2/org/app/manifests/v1 Basic"],
  );
});

test("what may pass is tried again, five times in all, with growing pauses", async () => {
  await using bench = await useClient(() => ({ status: 503, body: "<html>" }));
  await assert.rejects(bench.client.fetchManifest(bench.query()), failsAs("unavailable", /503 Service Unavailable;/));
  assert.equal(bench.server.seen.length, 5);
  const { passed } = bench.clock;
  assert.equal(passed.length, 4);
  for (const [index, pauseMs] of passed.entries()) {
    const fullMs = 500 * 2 ** index;
    assert.ok(pauseMs >= fullMs / 2 && pauseMs <= fullMs, `pause ${index} is ${pauseMs} ms`);
  }
});

test("those whom a registry failed together do not come back together", async () => {
  await using bench = await useClient(() => ({ status: 503 }));
  for (let i = 0; i < 8; i++) await assert.rejects(bench.client.fetchManifest(bench.query()));
  const { passed } = bench.clock;
  assert.ok(new Set(passed.filter((_, i) => i % 4 === 3)).size > 1, String(passed));
});

for (const status of [408, 429, 500, 502, 504]) {
  test(`${status} passes`, async () => {
    await using bench = await useClient(() => (bench.server.seen.length < 3 ? { status } : { body: manifest }));
    await bench.client.fetchManifest(bench.query());
    assert.equal(bench.server.seen.length, 3);
  });
}

test("a Retry-After is honoured, in seconds and as a date", async () => {
  await using bench = await useClient(() => {
    const date = new Date(bench.clock.now() + 4000).toUTCString();
    const wait = ["2", date][bench.server.seen.length - 1];
    return wait === undefined ? { body: manifest } : { status: 429, headers: { "retry-after": wait } };
  });
  await bench.client.fetchManifest(bench.query());
  assert.deepEqual(bench.clock.passed, [2000, 4000]);
});

test("a Retry-After that is too long is not waited for, but told", async () => {
  await using bench = await useClient(() => ({ status: 429, headers: { "retry-after": "3600" } }));
  await assert.rejects(
    bench.client.fetchManifest(bench.query()),
    failsAs("unavailable", /429 Too Many Requests; .*until 04:00 UTC/),
  );
  assert.equal(bench.server.seen.length, 1);
});

test("an abort while waiting for another try", async () => {
  const controller = new AbortController();
  const reason = new DriverError("cancelled", "nobody wants it");
  await using bench = await useClient(() => ({ status: 429, headers: { "retry-after": "20" } }));
  const work = assert.rejects(
    bench.client.fetchManifest(bench.query({ signal: controller.signal })),
    (e) => e === reason,
  );
  while (bench.clock.pending < 2) await new Promise((resolve) => setImmediate(resolve));
  controller.abort(reason);
  await work;
});

for (const tagOrDigest of ["v1", digestOf(Buffer.from(manifest))]) {
  test(`a Content-Encoding that is true or wrong: ${tagOrDigest.slice(0, 6)} is read as what fits`, async () => {
    const codings: readonly [string, Buffer][] = [
      ["gzip", gzipSync(manifest)],
      ["zstd", zstdCompressSync(manifest)],
      ["gzip", Buffer.from(manifest)],
      ["nonsense", Buffer.from(manifest)],
    ];
    for (const [coding, body] of codings) {
      await using bench = await useClient(() => ({ body, headers: { "content-encoding": coding } }));
      const found = await bench.client.fetchManifest(bench.query({ tagOrDigest }));
      assert.equal(Buffer.from(found.bytes).toString(), manifest);
      assert.equal(bench.server.seen.length, 1);
    }
  });
}

test("the body of an error that comes a byte at a time is not waited for", async () => {
  await using server = await RawServer.start(async (peer) => {
    await peer.readRequest();
    peer.socket.write("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{");
  });
  await using bench = await useClient(() => ({}));
  const repository = { registry: `127.0.0.1:${server.port}`, repository: "org/app", transport: "http" } as const;
  const fetching = assert.rejects(
    bench.client.fetchManifest(bench.query({ repository })),
    failsAs("not-found", /404 Not Found; /),
  );
  // The head is there once two timers run: for the body as a whole, and for a stall, which is three times as long.
  while (bench.clock.pending < 2) await new Promise((resolve) => setImmediate(resolve));
  bench.clock.advance(10_000);
  await fetching;
});

test("large manifests of one host are read one after the other; small ones, and another host's, do not wait", async () => {
  const bodies = new Map<string, PromiseWithResolvers<Awaited<ReturnType<HttpBody["readAtMost"]>>>>();
  const send = async ({ target }: HttpRequest): Promise<HttpResponse> => {
    const name = `${target.host} ${target.path.split("/").at(-1)}`;
    const readAtMost = () => {
      const body = Promise.withResolvers<{ bytes: Buffer; whole: boolean }>();
      bodies.set(name, body);
      return body.promise;
    };
    const length = target.path.endsWith("small") ? 1000 : 1024 * 1024;
    const body = { length, readAtMost, readInto: () => assert.fail(), discard: () => assert.fail() };
    return { status: 200, headers: new Map(), target, body };
  };
  const clock = new ManualClock();
  const shared = { clock, log: createSilentLogger(), retryPolicy: defaultRetryPolicy, threadLoad: () => 0 };
  const own = {
    send,
    authorizer: new Authorizer({ send, clock }),
    rest: new HostRest(clock),
    endpoints: new KnownEndpoints(),
  };
  const tools = { ...shared, ...own, largeManifests: new LargeManifests(clock), decoding: new Semaphore(1) };
  const fetch = (registry: string, tagOrDigest: string) => {
    const repository = { registry, repository: "org/app", transport: "http" } as const;
    return fetchManifest(tools, { repository, tagOrDigest, credentials: [anonymous] });
  };
  const asked = [fetch("a", "large-1"), fetch("a", "large-2"), fetch("a", "small"), fetch("b", "large")];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([...bodies.keys()].sort(), ["a large-1", "a small", "b large"]);
  bodies.get("a large-1")?.resolve({ bytes: Buffer.from(manifest), whole: true });
  await asked[0];
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bodies.has("a large-2"), true);
  for (const body of bodies.values()) body.resolve({ bytes: Buffer.from(manifest), whole: true });
  await Promise.all(asked);
});

test("HEAD tells a digest, or is of no use", async () => {
  const digest = digestOf(Buffer.from(manifest));
  const answers: ScriptedAnswer[] = [
    { headers: { "docker-content-digest": digest } },
    { headers: { "docker-content-digest": "sha256:nonsense" } },
    {},
    { status: 404 },
    { status: 405 },
    { status: 503 },
  ];
  await using bench = await useClient(() => answers[bench.server.seen.length - 1] ?? {});
  const found = [];
  for (const _ of answers) found.push((await bench.client.headManifest(bench.query()))?.digest);
  assert.deepEqual(found, [digest, undefined, undefined, undefined, undefined, undefined]);
  assert.ok(bench.server.lines.every((line) => line.startsWith("HEAD ")));
});

test("a registry that answers 406 is asked once more for whatever it has", async () => {
  await using bench = await useClient(({ headers }) =>
    headers.accept === "*/*" ? { body: manifest } : { status: 406 },
  );
  assert.equal(Buffer.from((await bench.client.fetchManifest(bench.query())).bytes).toString(), manifest);
  assert.equal(bench.server.seen.length, 2);
  await using other = await useClient(() => ({ status: 406 }));
  await assert.rejects(other.client.fetchManifest(other.query()), failsAs("unavailable", /406 Not Acceptable/));
  assert.equal(other.server.seen.length, 2);
});

test("HEAD without a digest, with one that is none, or not allowed says nothing", async () => {
  for (const answer of [
    {},
    { headers: { "docker-content-digest": "sha256:lies" } },
    { status: 405 },
    { status: 500 },
  ]) {
    await using bench = await useClient(() => answer);
    assert.equal(await bench.client.headManifest(bench.query()), undefined);
  }
});
