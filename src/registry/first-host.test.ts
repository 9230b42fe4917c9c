import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { describe, test } from "node:test";
import {
  failsAs,
  nodeConfig,
  podSecret,
  type ScriptedAnswer,
  ScriptedServer,
  type SeenRequest,
  useClient,
} from "../../test/registry-client/index.ts";
import { createCertificates } from "../../test/registry/index.ts";
import { digestOf } from "../oci/index.ts";
import { Admission, anonymous, type HostAccess, type HostFailure } from "./index.ts";
import { parseTarget } from "./http/target.ts";

const manifest = Buffer.from('{"schemaVersion":2}');
const digest = digestOf(manifest);
const blob = Buffer.from("the blob's bytes");
const descriptor = { digest: digestOf(blob), size: blob.length };

type Answer = (request: SeenRequest) => ScriptedAnswer;

const has: Answer = ({ url }) => ({ body: url.includes("/manifests/") ? manifest : blob });
const hasNot: Answer = () => ({ status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' });
const lies: Answer = ({ url }) => ({ body: url.includes("/manifests/") ? "other" : "not the blob's  " });
const isDown: Answer = () => ({ status: 503 });
const isClosed: Answer = () => ({ status: 401, headers: { "www-authenticate": "Basic realm=x" } });

/** A registry with mirrors in front of it: the first answers are the mirrors', the last one is the registry's. */
async function use(answers: readonly Answer[], more: Partial<HostAccess> = {}) {
  const bench = await useClient(answers.at(-1) ?? has);
  const mirrors = await Promise.all(answers.slice(0, -1).map((answer) => ScriptedServer.start(answer)));
  const failures: HostFailure[] = [];
  const plain = {
    capabilities: ["pull", "resolve"],
    trust: undefined,
    tls: undefined,
    headers: {},
    connectTimeoutMs: undefined,
    problem: undefined,
    credentials: [anonymous],
  } as const;
  const hosts: HostAccess[] = [
    ...mirrors.map(({ url }) => ({ ...plain, kind: "mirror" as const, root: parseTarget(`${url}/v2`), ...more })),
    { ...plain, kind: "origin", root: undefined },
  ];
  const access = { hosts, onHostFailed: (failure: HostFailure) => void failures.push(failure) };
  return {
    bench,
    mirrors,
    hosts,
    failures,
    manifest: (tagOrDigest = "v1", change: Partial<typeof access> = {}) =>
      bench.client.fetchManifest(bench.query({ tagOrDigest, ...access, ...change })),
    head: () => bench.client.headManifest(bench.query(access)),
    async blob() {
      let bytes = Buffer.alloc(0);
      const sink = {
        write(chunk: Buffer) {
          bytes = Buffer.concat([bytes, chunk]);
        },
        restart() {
          bytes = Buffer.alloc(0);
        },
      };
      await bench.client.fetchHostedBlob({ ...bench.query(access), descriptor, sink });
      return bytes.toString();
    },
    /** How often each host was asked, the registry last. */
    counts: () => [...mirrors, bench.server].map(({ seen }) => seen.length),
    async [Symbol.asyncDispose]() {
      for (const mirror of mirrors) await mirror[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

test("the first host that serves is the only one asked", async () => {
  await using area = await use([has, has, has]);
  assert.equal((await area.manifest()).digest, digest);
  assert.equal(await area.blob(), blob.toString());
  assert.deepEqual(area.counts(), [2, 0, 0]);
  assert.deepEqual(area.failures, []);
});

test("a mirror is told whom it answers for, the registry is not", async () => {
  await using area = await use([hasNot, has]);
  await area.manifest();
  await area.blob();
  const registry = encodeURIComponent(area.bench.server.host);
  assert.deepEqual(
    area.mirrors[0]?.seen.map(({ url }) => url),
    [`/v2/org/app/manifests/v1?ns=${registry}`, `/v2/org/app/blobs/${descriptor.digest}?ns=${registry}`],
  );
  assert.deepEqual(
    area.bench.server.seen.map(({ url }) => url),
    ["/v2/org/app/manifests/v1", `/v2/org/app/blobs/${descriptor.digest}`],
  );
});

describe("the next host is asked", () => {
  const rows: { name: string; first: Answer; times: number; result: string; reason: RegExp }[] = [
    { name: "after 404", first: hasNot, times: 1, result: "not-found", reason: /^404 Not Found \(NAME_UNKNOWN\)$/ },
    { name: "after 401", first: isClosed, times: 1, result: "unauthenticated", reason: /^401 Unauthorized$/ },
    { name: "after 403", first: () => ({ status: 403 }), times: 1, result: "forbidden", reason: /^403 Forbidden$/ },
    { name: "after 503, retried", first: isDown, times: 5, result: "unavailable", reason: /^503 Service Unavailable$/ },
    { name: "after 400", first: () => ({ status: 400 }), times: 1, result: "unavailable", reason: /^400 Bad Request$/ },
    {
      name: "after wrong bytes, twice",
      first: lies,
      times: 2,
      result: "corrupt",
      reason: /^the bytes that came have another digest/,
    },
  ];
  for (const { name, first, times, result, reason } of rows) {
    test(name, async () => {
      await using area = await use([first, has]);
      assert.equal((await area.manifest(digest)).digest, digest);
      assert.deepEqual(area.counts(), [times, 1]);
      assert.equal(area.failures.length, 1);
      const [failure] = area.failures;
      assert.deepEqual([failure?.host, failure?.kind, failure?.result], [area.mirrors[0]?.host, "mirror", result]);
      assert.match(failure?.reason ?? "", reason);
    });
    test(`${name}, for a blob`, async () => {
      await using area = await use([first, has]);
      assert.equal(await area.blob(), blob.toString());
      assert.deepEqual(area.counts(), [times, 1]);
      assert.deepEqual(
        area.failures.map((one) => one.result),
        [result],
      );
    });
  }
});

describe("when no host serves, the registry's own answer is told, and what the others said", () => {
  const rows: { name: string; answers: Answer[]; kind: Parameters<typeof failsAs>[0]; says: RegExp[] }[] = [
    { name: "nobody has it", answers: [hasNot, hasNot, hasNot], kind: "not-found", says: [/404 Not Found/] },
    {
      name: "the registry wants credentials",
      answers: [hasNot, isClosed],
      kind: "unauthenticated",
      says: [
        /401 Unauthorized; tried: anonymous; .*\(other hosts: 127\.0\.0\.1:\d+: 404 Not Found \(NAME_UNKNOWN\)\)$/,
      ],
    },
    { name: "the registry is down", answers: [hasNot, isDown], kind: "unavailable", says: [/503 Service Unavailable/] },
    {
      name: "the mirrors are broken",
      answers: [lies, isDown, hasNot],
      kind: "not-found",
      says: [/another digest.*; 127.*503/],
    },
    { name: "all lie", answers: [lies, lies], kind: "corrupt", says: [/another digest/] },
  ];
  for (const { name, answers, kind, says } of rows) {
    test(name, async () => {
      await using area = await use(answers);
      await assert.rejects(area.manifest(digest), failsAs(kind, ...says));
      const counts = area.counts();
      assert.ok(
        counts.every((count) => count >= 1 && count <= 5),
        String(counts),
      );
      await assert.rejects(area.blob(), failsAs(kind));
    });
  }
});

test("a mirror that has the manifest but not the blob, and one the other way round", async () => {
  const onlyManifests: Answer = (request) => (request.url.includes("/manifests/") ? has(request) : hasNot(request));
  const onlyBlobs: Answer = (request) => (request.url.includes("/blobs/") ? has(request) : hasNot(request));
  await using area = await use([onlyManifests, onlyBlobs, hasNot]);
  assert.equal((await area.manifest()).digest, digest);
  assert.equal(await area.blob(), blob.toString());
  assert.deepEqual(area.counts(), [2, 1, 0]);
});

test("a mirror that knows the tag but not its digest", async () => {
  const onlyTags: Answer = (request) => (request.url.includes("/v1") ? has(request) : hasNot(request));
  await using area = await use([onlyTags, has]);
  await area.manifest();
  assert.equal((await area.manifest(digest)).digest, digest);
  assert.deepEqual(area.counts(), [2, 1]);
});

test("a host without resolve is not asked for tags, one without pull for nothing else", async () => {
  await using area = await use([has, has], { capabilities: ["pull"] });
  await area.manifest("v1");
  await area.head();
  assert.deepEqual(area.counts(), [0, 2]);
  await area.manifest(digest);
  assert.equal(await area.blob(), blob.toString());
  assert.deepEqual(area.counts(), [2, 2]);
});

test("no host that may resolve", async () => {
  await using area = await use([has, has]);
  const hosts = area.hosts.map((host) => ({ ...host, capabilities: ["pull"] as const }));
  await assert.rejects(
    area.manifest("v1", { hosts }),
    failsAs("unavailable", /may be asked for what a tag is: add resolve/),
  );
  assert.deepEqual(area.counts(), [0, 0]);
});

test("HEAD: the first host that names a digest decides, one that cannot does not", async () => {
  const named: Answer = () => ({ headers: { "docker-content-digest": digest } });
  for (const first of [hasNot, has, isDown, isClosed]) {
    await using area = await use([first, named]);
    assert.equal((await area.head())?.digest, digest);
  }
});

test("a host that failed of late is asked last, and first again when it has rested", async () => {
  let isBack = false;
  await using area = await use([(request) => (isBack ? has(request) : isDown(request)), has]);
  await area.manifest();
  assert.deepEqual(area.counts(), [5, 1]);
  for (let i = 0; i < 3; i++) await area.blob();
  assert.deepEqual(area.counts(), [5, 4]);
  isBack = true;
  area.bench.clock.advance(30_000);
  await area.blob();
  assert.deepEqual(area.counts(), [6, 4]);
});

test("while all hosts rest they are asked in their order", async () => {
  let isBack = false;
  await using area = await use([(request) => (isBack ? has(request) : isDown(request)), isDown]);
  await assert.rejects(area.manifest(), failsAs("unavailable"));
  isBack = true;
  await area.manifest();
  assert.deepEqual(area.counts(), [6, 5]);
});

test("a host whose files are not right is passed by; alone, it says what is wrong", async () => {
  await using area = await use([has, has], { problem: "ca.pem holds no certificate" });
  await area.manifest();
  assert.deepEqual(area.counts(), [0, 1]);
  assert.match(area.failures[0]?.reason ?? "", /ca\.pem holds no certificate/);
  const hosts = area.hosts.slice(0, 1);
  await assert.rejects(
    area.manifest("v1", { hosts }),
    failsAs("unavailable", /hosts\.toml is not right: ca\.pem holds no/),
  );
});

test("a mirror gets its own credentials and headers, and nothing of the registry's", async () => {
  const basic = (request: SeenRequest): ScriptedAnswer =>
    request.headers.authorization?.startsWith("Basic") ? has(request) : isClosed(request);
  await using area = await use([basic, basic], {
    credentials: [nodeConfig],
    headers: { "X-Token": "secret", authorization: "Peer p" },
  });
  const [mirror, origin] = area.hosts;
  assert.ok(mirror && origin);
  await area.manifest("v1", { hosts: [mirror, { ...origin, credentials: [podSecret] }] });
  await area.manifest("v1", { hosts: [{ ...origin, credentials: [podSecret] }] });
  const seen = area.mirrors[0]?.seen.map(({ headers }) => [headers["x-token"], headers.authorization]);
  assert.deepEqual(seen, [
    ["secret", "Peer p"],
    ["secret", `Basic ${Buffer.from("n:q").toString("base64")}`],
  ]);
  const atOrigin = area.bench.server.seen.map(({ headers }) => [headers["x-token"], headers.authorization]);
  assert.deepEqual(atOrigin, [
    [undefined, undefined],
    [undefined, `Basic ${Buffer.from("u:p").toString("base64")}`],
  ]);
});

test("headers of a host do not follow a redirect to another one", async () => {
  await using store = await ScriptedServer.start(() => ({ body: blob }));
  await using area = await use([() => ({ status: 307, headers: { location: `${store.url}/signed?x=1` } }), hasNot], {
    headers: { "X-Token": "secret" },
  });
  assert.equal(await area.blob(), blob.toString());
  assert.equal(area.mirrors[0]?.seen[0]?.headers["x-token"], "secret");
  assert.equal(store.seen[0]?.headers["x-token"], undefined);
});

test("what a host let in once is shown there first", async () => {
  const closed: Answer = (request) => {
    const isRight = request.headers.authorization === `Basic ${Buffer.from("u:p").toString("base64")}`;
    return isRight ? has(request) : isClosed(request);
  };
  await using area = await use([closed]);
  const [host] = area.hosts;
  assert.ok(host);
  const hosts = [{ ...host, credentials: [nodeConfig, podSecret, anonymous] }];
  const admission = new Admission();
  for (let i = 0; i < 2; i++) {
    const found = await area.bench.client.fetchManifest(area.bench.query({ hosts, admission }));
    assert.equal(found.credential, podSecret);
  }
  const shown = area.bench.server.seen.map(({ headers }) => headers.authorization?.slice(-4) ?? "-");
  assert.deepEqual(shown, ["-", btoa("n:q"), "-", btoa("u:p"), btoa("u:p")]);
});

test("a host's own roots and client certificate, over TLS", async (t) => {
  const certificates = await createCertificates();
  const { key, cert, ca } = certificates;
  const seen: boolean[] = [];
  const server = createServer({ key, cert, ca, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    seen.push((request.socket as TLSSocket).authorized);
    response.end(manifest);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const root = parseTarget(`https://127.0.0.1:${(server.address() as AddressInfo).port}/v2`);
  const tls = (id: string, withClient: boolean) => ({
    id,
    caCertificates: [ca],
    clientCertificates: withClient ? [{ certificate: cert, key }] : [],
  });
  await using area = await use([hasNot, hasNot]);
  const [mirror] = area.hosts;
  assert.ok(mirror);
  const at = (more: Partial<HostAccess>) => area.manifest("v1", { hosts: [{ ...mirror, root, ...more }] });
  await at({ tls: tls("with", true) });
  await at({ tls: tls("without", false) });
  await at({ trust: "unverified", tls: { ...tls("unverified", true), caCertificates: [] } });
  assert.deepEqual(seen, [true, false, true]);
  await assert.rejects(at({}), failsAs("unavailable", /certificate is not trusted/));
});

describe("a host that is redirected to and asks for credentials", () => {
  const rows: {
    name: string;
    guests: { owner: "pod" | "node"; port?: string; password: string }[];
    shown: string[];
    lets: string;
  }[] = [
    { name: "gets what is configured for it", guests: [{ owner: "pod", password: "p" }], shown: ["-", "p"], lets: "p" },
    {
      name: "gets the next one if it refuses",
      guests: [
        { owner: "pod", password: "x" },
        { owner: "node", password: "p" },
      ],
      shown: ["-", "x", "p"],
      lets: "p",
    },
    {
      name: "gets nothing of another port's",
      guests: [{ owner: "pod", port: "1", password: "p" }],
      shown: ["-"],
      lets: "none",
    },
    { name: "is refused at last", guests: [{ owner: "pod", password: "x" }], shown: ["-", "x"], lets: "none" },
  ];
  for (const { name, guests, shown, lets } of rows) {
    test(name, async () => {
      const seen: string[] = [];
      await using store = await ScriptedServer.start((request) => {
        const password =
          request.headers.authorization === undefined ? "-" : atob(request.headers.authorization.slice(6)).slice(2);
        seen.push(password);
        return password === lets ? { body: manifest } : isClosed(request);
      });
      await using area = await use([() => ({ status: 307, headers: { location: `${store.url}/x?sig=1` } })]);
      const [origin] = area.hosts;
      assert.ok(origin);
      const configured = guests.map(({ owner, port, password }) => ({
        host: port === undefined ? store.host : `127.0.0.1:${port}`,
        credential: { kind: "password", username: "g", password, source: "the config", owner } as const,
      }));
      const retryPolicy = { maxTries: 1 };
      await using bench = await useClient(() => ({}), { retryPolicy });
      const query = { ...area.bench.query(), hosts: [{ ...origin, credentials: [podSecret], guests: configured }] };
      const outcome = await bench.client.fetchManifest(query).then(
        () => "let in",
        (error: Error) => error.message,
      );
      assert.deepEqual(seen, shown);
      assert.match(outcome, lets === "none" ? /redirected to 127\.0\.0\.1:\d+: 401 Unauthorized/ : /^let in$/);
    });
  }
});

test("a blob that breaks off at one host goes on at the next one, from where it was", async () => {
  const big = Buffer.alloc(300_000, "0123456789");
  const half = big.length / 2;
  let wasAsked = false;
  const breaksOff: Answer = () => {
    if (wasAsked) return { status: 503 };
    wasAsked = true;
    return { headers: { "content-length": String(big.length) }, body: big.subarray(0, half), cut: true };
  };
  const goesOn: Answer = ({ headers }) => {
    const start = Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0);
    const range = { "content-range": `bytes ${start}-${big.length - 1}/${big.length}` };
    return { status: start === 0 ? 200 : 206, headers: start === 0 ? {} : range, body: big.subarray(start) };
  };
  await using area = await use([breaksOff, goesOn]);
  const got: Buffer[] = [];
  const kinds: string[] = [];
  const sink = {
    write: (chunk: Buffer) => void got.push(Buffer.from(chunk)),
    restart: () => assert.fail("restarted"),
  };
  const query = {
    ...area.bench.query(),
    hosts: area.hosts,
    descriptor: { digest: digestOf(big), size: big.length },
    sink,
  };
  await area.bench.client.fetchHostedBlob({ ...query, onHost: (kind) => void kinds.push(kind) });
  assert.ok(Buffer.concat(got).equals(big));
  assert.deepEqual(kinds, ["mirror", "origin"]);
  const [request] = area.bench.server.seen;
  assert.match(String(request?.headers.range), /^bytes=150000-/);
});
