import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointAt, isSafeForNodeCredentials, pingTargetOf, targetIn, type Transport } from "./endpoint.ts";
import { hostLabel, originKey, parseTarget } from "./http/target.ts";
import type { RegistryHost } from "./index.ts";

const plain: RegistryHost = {
  kind: "mirror",
  root: undefined,
  capabilities: ["pull", "resolve"],
  trust: undefined,
  tls: { id: "tls", caCertificates: [], clientCertificates: [] },
  headers: { "X-Key": "secret" },
  connectTimeoutMs: 200,
  problem: undefined,
};

function at(host: Partial<RegistryHost>, transport: Transport = "https", registry = "r.example") {
  return endpointAt({ registry, repository: "org/app", transport }, { ...plain, ...host });
}

const rows: { name: string; url: string; registry?: string; asked: string; pinged: string }[] = [
  {
    name: "a mirror is told by ns whom it answers for",
    url: "http://m.example:5000/v2",
    registry: "localhost:5000",
    asked: "http://m.example:5000/v2/org/app/blobs/x?ns=localhost%3A5000",
    pinged: "http://m.example:5000/v2/?ns=localhost%3A5000",
  },
  {
    name: "the registry itself is not",
    url: "https://r.example/v2",
    asked: "https://r.example:443/v2/org/app/blobs/x",
    pinged: "https://r.example:443/v2/",
  },
  {
    name: "nor is Docker Hub by its other name",
    url: "https://registry-1.docker.io/v2",
    registry: "docker.io",
    asked: "https://registry-1.docker.io:443/v2/org/app/blobs/x",
    pinged: "https://registry-1.docker.io:443/v2/",
  },
  {
    name: "a path of its own",
    url: "https://m.example/v2/proxy",
    asked: "https://m.example:443/v2/proxy/org/app/blobs/x?ns=r.example",
    pinged: "https://m.example:443/v2/proxy/?ns=r.example",
  },
  {
    name: "no path at all",
    url: "https://m.example",
    asked: "https://m.example:443/org/app/blobs/x?ns=r.example",
    pinged: "https://m.example:443/?ns=r.example",
  },
];
for (const { name, url, registry, asked, pinged } of rows) {
  test(name, () => {
    const root = parseTarget(url);
    assert.ok(root);
    const endpoint = at({ root: { ...root, path: root.path.replace(/\/$/, "") } }, "https", registry);
    const targets = [targetIn(endpoint, "/blobs/x"), pingTargetOf(endpoint)];
    assert.deepEqual(
      targets.map((target) => originKey(target) + target.path),
      [asked, pinged],
    );
  });
}

test("what the node's administrator names is safe for the node's credentials, whatever the transport", () => {
  for (const host of [
    { root: parseTarget("http://m.example/v2") },
    { root: parseTarget("https://m.example/v2"), trust: "unverified" as const },
  ]) {
    const endpoint = at(host);
    assert.notEqual(endpoint.transport, "https");
    assert.ok(isSafeForNodeCredentials(endpoint));
  }
  assert.ok(isSafeForNodeCredentials(at({ kind: "origin", trust: "unverified" })));
});

test("what a volume says weakens its registry only: then nothing of the node's goes there", () => {
  for (const transport of ["http", "insecure"] as const) {
    const origin = at({ kind: "origin", root: parseTarget("https://r.example/v2") }, transport);
    assert.equal(origin.transport, transport);
    assert.equal(hostLabel(origin.base), "r.example");
    assert.equal(origin.headers.size, 0);
    assert.equal(origin.tls, undefined);
    assert.ok(!isSafeForNodeCredentials(origin));
    const mirror = at({ root: parseTarget("https://m.example/v2") }, transport);
    assert.equal(mirror.transport, "https");
    assert.equal(mirror.headers.size, 1);
  }
});

test("one machine may be many hosts, told apart by path, ns and header", () => {
  const root = parseTarget("http://127.0.0.1:4001/v2");
  const other = parseTarget("http://127.0.0.1:4001/other/v2");
  const keys = [
    at({ root }),
    at({ root }, "https", "other.example"),
    at({ root, headers: {} }),
    at({ root: other }),
  ].map(({ hostKey }) => hostKey);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(at({ root }).hostKey, keys[0]);
});
