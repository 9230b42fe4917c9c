import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Answer,
  blob,
  descriptor,
  digest,
  has,
  hasNot,
  isClosed,
  isDown,
  lies,
  useHosts,
} from "../../test/registry-client/hosts-bench.ts";
import { failsAs } from "../../test/registry-client/index.ts";
import { digestOf } from "../oci/index.ts";

test("the first host that serves is the only one asked", async () => {
  await using area = await useHosts([has, has, has]);
  assert.equal((await area.manifest()).digest, digest);
  assert.equal(await area.blob(), blob.toString());
  assert.deepEqual(area.counts(), [2, 0, 0]);
  assert.deepEqual(area.failures, []);
});

test("a mirror is told whom it answers for, the registry is not", async () => {
  await using area = await useHosts([hasNot, has]);
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
      await using area = await useHosts([first, has]);
      assert.equal((await area.manifest(digest)).digest, digest);
      assert.deepEqual(area.counts(), [times, 1]);
      assert.equal(area.failures.length, 1);
      const [failure] = area.failures;
      assert.deepEqual([failure?.host, failure?.kind, failure?.result], [area.mirrors[0]?.host, "mirror", result]);
      assert.match(failure?.reason ?? "", reason);
    });
    test(`${name}, for a blob`, async () => {
      await using area = await useHosts([first, has]);
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
      await using area = await useHosts(answers);
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
  await using area = await useHosts([onlyManifests, onlyBlobs, hasNot]);
  assert.equal((await area.manifest()).digest, digest);
  assert.equal(await area.blob(), blob.toString());
  assert.deepEqual(area.counts(), [2, 1, 0]);
});

test("a mirror that knows the tag but not its digest", async () => {
  const onlyTags: Answer = (request) => (request.url.includes("/v1") ? has(request) : hasNot(request));
  await using area = await useHosts([onlyTags, has]);
  await area.manifest();
  assert.equal((await area.manifest(digest)).digest, digest);
  assert.deepEqual(area.counts(), [2, 1]);
});

test("a host without resolve is not asked for tags, one without pull for nothing else", async () => {
  await using area = await useHosts([has, has], { capabilities: ["pull"] });
  await area.manifest("v1");
  await area.head();
  assert.deepEqual(area.counts(), [0, 2]);
  await area.manifest(digest);
  assert.equal(await area.blob(), blob.toString());
  assert.deepEqual(area.counts(), [2, 2]);
});

test("no host that may resolve", async () => {
  await using area = await useHosts([has, has]);
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
    await using area = await useHosts([first, named]);
    assert.equal((await area.head())?.digest, digest);
  }
});

test("a host that failed of late is asked last, and first again when it has rested", async () => {
  let isBack = false;
  await using area = await useHosts([(request) => (isBack ? has(request) : isDown(request)), has]);
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
  await using area = await useHosts([(request) => (isBack ? has(request) : isDown(request)), isDown]);
  await assert.rejects(area.manifest(), failsAs("unavailable"));
  isBack = true;
  await area.manifest();
  assert.deepEqual(area.counts(), [6, 5]);
});

test("a host whose files are not right is passed by; alone, it says what is wrong", async () => {
  await using area = await useHosts([has, has], { problem: "ca.pem holds no certificate" });
  await area.manifest();
  assert.deepEqual(area.counts(), [0, 1]);
  assert.match(area.failures[0]?.reason ?? "", /ca\.pem holds no certificate/);
  const hosts = area.hosts.slice(0, 1);
  await assert.rejects(
    area.manifest("v1", { hosts }),
    failsAs("unavailable", /hosts\.toml is not right: ca\.pem holds no/),
  );
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
  await using area = await useHosts([breaksOff, goesOn]);
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
