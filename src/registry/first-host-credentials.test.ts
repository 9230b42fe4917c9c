import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { createCertificates } from "../../test/registry/index.ts";
import {
  type Answer,
  blob,
  has,
  hasNot,
  isClosed,
  manifest,
  useHosts,
} from "../../test/registry-client/hosts-bench.ts";
import {
  failsAs,
  nodeConfig,
  podSecret,
  type ScriptedAnswer,
  ScriptedServer,
  type SeenRequest,
  useClient,
} from "../../test/registry-client/index.ts";
import { parseTarget } from "./http/target.ts";
import { Admission, anonymous, type HostAccess } from "./index.ts";

test("a mirror gets its own credentials and headers, and nothing of the registry's", async () => {
  const basic = (request: SeenRequest): ScriptedAnswer =>
    request.headers.authorization?.startsWith("Basic") ? has(request) : isClosed(request);
  await using area = await useHosts([basic, basic], {
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
  await using area = await useHosts(
    [() => ({ status: 307, headers: { location: `${store.url}/signed?x=1` } }), hasNot],
    {
      headers: { "X-Token": "secret" },
    },
  );
  assert.equal(await area.blob(), blob.toString());
  assert.equal(area.mirrors[0]?.seen[0]?.headers["x-token"], "secret");
  assert.equal(store.seen[0]?.headers["x-token"], undefined);
});

test("what a host let in once is shown there first", async () => {
  const closed: Answer = (request) => {
    const isRight = request.headers.authorization === `Basic ${Buffer.from("u:p").toString("base64")}`;
    return isRight ? has(request) : isClosed(request);
  };
  await using area = await useHosts([closed]);
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
  await using area = await useHosts([hasNot, hasNot]);
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
      await using area = await useHosts([() => ({ status: 307, headers: { location: `${store.url}/x?sig=1` } })]);
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
