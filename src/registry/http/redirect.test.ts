import assert from "node:assert/strict";
import { test } from "node:test";
import {
  failsAs,
  podSecret,
  type ScriptedAnswer,
  ScriptedServer,
  useClient,
} from "../../../test/registry-client/index.ts";
import { createCertificates } from "../../../test/registry/index.ts";
import { digestOf } from "../../oci/index.ts";
import { BlobProgress } from "../blob-progress.ts";

const basicOfPod = `Basic ${btoa("u:p")}`;
const askBasic: ScriptedAnswer = { status: 401, headers: { "www-authenticate": "Basic realm=x" } };

/** A registry that wants a password, and redirects to `location()`. */
const useRedirecting = (location: () => string, status = 307) =>
  useClient(({ headers }) =>
    headers.authorization === basicOfPod ? { status, headers: { location: location() } } : askBasic,
  );

for (const status of [301, 302, 303, 307, 308]) {
  test(`${status} leads to another host, without credentials and byte for byte`, async () => {
    await using cdn = await ScriptedServer.start(() => ({ body: "{}" }));
    await using bench = await useRedirecting(() => `${cdn.url}/a//b/%7Ec/../d?sig=a%2Fb+c&x=//y`, status);
    await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
    assert.deepEqual(cdn.lines, ["GET /a//b/%7Ec/../d?sig=a%2Fb+c&x=//y -"]);
  });
}

test("within the registry the credentials go along", async () => {
  await using bench = await useClient(({ url, headers }) => {
    if (headers.authorization !== basicOfPod) return askBasic;
    return url.startsWith("/v2/") ? { status: 302, headers: { location: "/moved?x=1" } } : { body: "{}" };
  });
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.equal(bench.server.lines.at(-1), `GET /moved?x=1 ${basicOfPod}`);
});

test("who was led away and back comes without them", async () => {
  await using cdn = await ScriptedServer.start(() => ({
    status: 302,
    headers: { location: `${bench.server.url}/back` },
  }));
  await using bench = await useClient(({ url, headers }) => {
    if (url === "/back") return { body: "{}" };
    return headers.authorization === basicOfPod ? { status: 302, headers: { location: `${cdn.url}/` } } : askBasic;
  });
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.equal(bench.server.lines.at(-1), "GET /back -");
});

test("another port is another host", async () => {
  await using cdn = await ScriptedServer.start(() => ({ body: "{}" }));
  await using bench = await useRedirecting(() => `http://127.0.0.1:${cdn.host.split(":")[1]}/x`);
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.deepEqual(cdn.lines, ["GET /x -"]);
});

test("a host redirected to that asks for a token gets an anonymous one", async () => {
  await using cdn = await ScriptedServer.start(({ url, headers }) => {
    if (url.startsWith("/token")) return { body: '{"token":"guest"}' };
    return headers.authorization === "Bearer guest"
      ? { body: "{}" }
      : { status: 401, headers: { "www-authenticate": 'Bearer realm="/token"' } };
  });
  await using bench = await useRedirecting(() => `${cdn.url}/x`);
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.deepEqual(cdn.lines, ["GET /x -", "GET /token?scope=repository%3Aorg%2Fapp%3Apull -", "GET /x Bearer guest"]);
});

test("a refusal by a host redirected to is no word of the registry's: it is asked again", async () => {
  await using cdn = await ScriptedServer.start(() =>
    cdn.seen.length < 3 ? { status: 403, body: "<Error>expired</Error>" } : { body: "{}" },
  );
  await using bench = await useRedirecting(() => `${cdn.url}/x?sig=${cdn.seen.length}`);
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.deepEqual(cdn.lines, ["GET /x?sig=0 -", "GET /x?sig=1 -", "GET /x?sig=2 -"]);
});

test("it ends as unavailable, without the query of the address", async () => {
  await using cdn = await ScriptedServer.start(() => ({ status: 403 }));
  await using bench = await useRedirecting(() => `${cdn.url}/x?sig=SECRET`);
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ credentials: [podSecret] })),
    failsAs("unavailable", /redirected to 127\.0\.0\.1:\d+: 403 Forbidden;/, /^((?!SECRET).)*$/),
  );
});

test("a loop ends, and is not tried again", async () => {
  await using bench = await useClient(({ url }) => ({ status: 302, headers: { location: url } }));
  await assert.rejects(
    bench.client.fetchManifest(bench.query()),
    failsAs("unavailable", /redirected more than 10 times/),
  );
  assert.equal(bench.server.seen.length, 11);
});

test("ten redirects are followed", async () => {
  await using bench = await useClient(() => {
    const hop = bench.server.seen.length;
    return hop <= 10 ? { status: 302, headers: { location: `/hop/${hop}` } } : { body: "{}" };
  });
  await bench.client.fetchManifest(bench.query());
  assert.equal(bench.server.lines.at(-1), "GET /hop/10 -");
});

test("a redirect without Location, or to what is no http address", async () => {
  for (const headers of [{}, { location: "ftp://x/y" }]) {
    await using bench = await useClient(() => ({ status: 302, headers }));
    await assert.rejects(
      bench.client.fetchManifest(bench.query()),
      failsAs("unavailable", /302 Found|no http address/),
    );
    assert.equal(bench.server.seen.length, 1);
  }
});

test("from https to http is refused", async () => {
  const tls = await createCertificates();
  await using cdn = await ScriptedServer.start(() => ({ body: "{}" }));
  await using secure = await ScriptedServer.start(() => ({ status: 302, headers: { location: `${cdn.url}/x` } }), tls);
  await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
  const repository = { registry: secure.host, repository: "org/app", transport: "https" } as const;
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ repository })),
    failsAs("unavailable", /from https to http/),
  );
  assert.equal(cdn.seen.length, 0);
});

test("a Range goes to every hop", async () => {
  const blob = Buffer.from("0123456789");
  await using cdn = await ScriptedServer.start(({ headers }) => ({
    status: 206,
    body: blob.subarray(4),
    headers: headers.range === "bytes=4-9" ? { "content-range": "bytes 4-9/10" } : {},
  }));
  await using bench = await useRedirecting(() => `${cdn.url}/x`);
  const { repository } = bench.query();
  const descriptor = { digest: digestOf(blob), size: 10 };
  const got: Buffer[] = [];
  await bench.client.fetchBlob({
    repository,
    credential: podSecret,
    descriptor,
    sink: {
      write: (chunk) => void got.push(Buffer.from(chunk)),
      restart: () => assert.fail("restarted"),
      read: (into, offset) => Promise.resolve(blob.copy(into, 0, offset)),
    },
    progress: new BlobProgress(descriptor, [{ start: 0, end: 4 }]),
  });
  assert.equal(Buffer.concat(got).toString(), "456789");
});
