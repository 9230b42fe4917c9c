import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import {
  failsAs,
  podSecret,
  ProxyServer,
  type ProxyServerOptions,
  type ScriptedAnswer,
  ScriptedServer,
  type SeenRequest,
  useClient,
} from "../../test/registry-client/index.ts";
import { type Certificates, createCertificates } from "../../test/registry/index.ts";
import { digestOf } from "../oci/index.ts";
import { createProxyChooser } from "./http/proxy.ts";
import type { ManifestQuery } from "./index.ts";

let certificates: Certificates;
before(async () => {
  certificates = await createCertificates();
});

const manifest = '{"schemaVersion":2}';
const LOGIN = "robot:proxy-SECRET";

/** `registry.test`, which only a proxy knows how to reach, and a client that uses one. */
async function use(
  scheme: "http" | "https",
  options: Partial<ProxyServerOptions> & { readonly answer?: (request: SeenRequest) => ScriptedAnswer } = {},
) {
  const { answer = () => ({ body: manifest }), ...more } = options;
  const server = await ScriptedServer.start(answer, scheme === "https" ? certificates : undefined);
  const port = Number(server.host.split(":")[1]);
  const proxy = await ProxyServer.start({ port, ...more });
  const url = `${more.tls === undefined ? "http" : "https"}://${more.login === undefined ? "" : `${LOGIN}@`}${proxy.host}`;
  const proxyFor = createProxyChooser({ HTTPS_PROXY: url, HTTP_PROXY: url });
  const bench = await useClient(() => ({}), { proxyFor, caCertificates: [certificates.ca] });
  const repository = { registry: "registry.test", repository: "org/app", transport: scheme } as const;
  return {
    server,
    proxy,
    bench,
    repository,
    fetch: (query: Partial<ManifestQuery> = {}) => bench.client.fetchManifest(bench.query({ repository, ...query })),
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("http goes by absolute form, over a connection that is kept", async () => {
  await using area = await use("http", { login: LOGIN });
  for (let i = 0; i < 2; i++) await area.fetch();
  assert.deepEqual(area.proxy.seen, Array(2).fill("GET http://registry.test/v2/org/app/manifests/v1 registry.test"));
  assert.deepEqual(
    area.server.seen.map(({ headers }) => headers["proxy-authorization"]),
    [undefined, undefined],
  );
});

test("https goes through a tunnel that is kept; the proxy's login is for the proxy only", async () => {
  await using area = await use("https", { login: LOGIN });
  for (let i = 0; i < 2; i++) await area.fetch();
  assert.deepEqual(area.proxy.seen, ["CONNECT registry.test:443 registry.test:443"]);
  assert.deepEqual(
    area.server.seen.map(({ url, headers }) => [url, headers["proxy-authorization"]]),
    Array(2).fill(["/v2/org/app/manifests/v1", undefined]),
  );
});

test("a proxy that is spoken to over TLS", async () => {
  for (const scheme of ["http", "https"] as const) {
    await using area = await use(scheme, { tls: certificates, login: LOGIN });
    await area.fetch();
    assert.equal(area.proxy.seen.length, 1);
  }
});

test("a large blob through a tunnel, with a sink that needs time", async () => {
  const blob = randomBytes(5_000_000);
  await using area = await use("https", { answer: () => ({ body: blob }) });
  const got: Buffer[] = [];
  const sink = {
    write: async (chunk: Buffer) => {
      await new Promise((resolve) => setImmediate(resolve));
      got.push(Buffer.from(chunk));
    },
    restart: () => assert.fail("restarted"),
  };
  const descriptor = { digest: digestOf(blob), size: blob.length };
  await area.bench.client.fetchBlob({ repository: area.repository, descriptor, credential: podSecret, sink });
  assert.ok(Buffer.concat(got).equals(blob));
});

test("token servers and redirects go through it, too; loopback hosts do not", async () => {
  await using store = await ScriptedServer.start(() => ({ body: manifest }));
  await using area = await use("http", {
    answer: ({ url, headers }) => {
      if (url.startsWith("/token")) return { body: '{"token":"t"}' };
      const challenge = 'Bearer realm="http://auth.test/token"';
      if (headers.authorization !== "Bearer t") return { status: 401, headers: { "www-authenticate": challenge } };
      return { status: 307, headers: { location: `${store.url}/signed` } };
    },
  });
  await area.fetch();
  const hosts = area.proxy.seen.map((line) => line.split(" ").at(-1));
  assert.deepEqual(hosts, ["registry.test", "auth.test", "registry.test"]);
  assert.equal(store.seen.length, 1);
});

describe("what goes wrong names the proxy, never its login", () => {
  const rows: {
    name: string;
    scheme: "http" | "https";
    options: Partial<ProxyServerOptions>;
    tries: number;
    says: RegExp;
  }[] = [
    {
      name: "a wrong login",
      scheme: "https",
      options: { login: "other:one" },
      tries: 1,
      says: /the proxy 127\.0\.0\.1:\d+: it answered CONNECT with 407; check HTTPS_PROXY/,
    },
    { name: "not allowed", scheme: "https", options: { refusal: 403 }, tries: 1, says: /it answered CONNECT with 403/ },
    {
      name: "cannot reach it",
      scheme: "https",
      options: { refusal: 502 },
      tries: 5,
      says: /it answered CONNECT with 502; check that this node can reach it/,
    },
    {
      name: "no proxy",
      scheme: "https",
      options: { refusal: "nonsense\r\n\r\n" },
      tries: 1,
      says: /it does not answer as HTTP proxies do/,
    },
    {
      name: "a wrong login for http",
      scheme: "http",
      options: { login: "other:one" },
      tries: 1,
      says: /407 Proxy Authentication Required/,
    },
  ];
  for (const { name, scheme, options, tries, says } of rows) {
    test(name, async () => {
      await using area = await use(scheme, options);
      await assert.rejects(
        area.fetch(),
        failsAs("unavailable", /^cannot fetch the manifest of registry\.test\/org\/app:v1/, says, /^((?!SECRET).)*$/),
      );
      assert.equal(area.proxy.seen.length, tries);
    });
  }

  test("a proxy that is down", async () => {
    const proxyFor = createProxyChooser({ HTTPS_PROXY: `http://${LOGIN}@127.0.0.1:1` });
    await using bench = await useClient(() => ({}), { proxyFor });
    const repository = { registry: "registry.test", repository: "org/app", transport: "https" } as const;
    await assert.rejects(
      bench.client.fetchManifest(bench.query({ repository })),
      failsAs("unavailable", /from registry\.test: the proxy 127\.0\.0\.1:1: connection refused; /, /^((?!SECRET).)*$/),
    );
  });

  test("a certificate that is for another host is refused through a tunnel, too", async () => {
    await using area = await use("https");
    const repository = { ...area.repository, registry: "other.test" };
    await assert.rejects(area.fetch({ repository }), failsAs("unavailable", /its certificate is for another host/));
  });
});
