import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ClientBench,
  failsAs,
  ManualClock,
  nodeConfig,
  podSecret,
  type ScriptedAnswer,
  type SeenRequest,
  useClient,
} from "../../../test/registry-client/index.ts";
import type { Credential } from "../credential.ts";
import { endpointOf } from "../endpoint.ts";
import type { HttpRequest, HttpResponse } from "../http/http-types.ts";
import { Authorizer } from "./authorizer.ts";

const identity: Credential = { kind: "identity-token", token: "it/1", source: "the pod's secret", owner: "pod" };
const basicOfPod = `Basic ${btoa("u:p")}`;

/** How a registry with a token server at `/token` behaves; what is left out is as in the specification. */
interface TokenScript {
  readonly challenge?: (host: string) => string | string[];
  readonly token?: (request: SeenRequest, count: number) => ScriptedAnswer;
  readonly letsIn?: (request: SeenRequest) => boolean;
}

async function useTokens(script: TokenScript): Promise<ClientBench & { tokenLines(): string[] }> {
  let count = 0;
  const bench = await useClient((request) => {
    const challenge =
      script.challenge?.(bench.server.host) ?? `Bearer realm="http://${bench.server.host}/token",service="the service"`;
    if (request.url.startsWith("/token")) {
      count++;
      return script.token?.(request, count) ?? { body: JSON.stringify({ token: `t${count}` }) };
    }
    const letsIn = script.letsIn ?? (({ headers }) => headers.authorization === `Bearer t${count}`);
    return letsIn(request) ? { body: "{}" } : { status: 401, headers: { "www-authenticate": challenge } };
  });
  return Object.assign(bench, {
    tokenLines: () =>
      bench.server.seen
        .filter(({ url }) => url.startsWith("/token"))
        .map(({ method, url, headers, body }) =>
          [method, url.slice("/token".length), headers.authorization, body].filter(Boolean).join(" "),
        ),
  });
}

test("an anonymous token, asked for with the scope of the repository", async () => {
  await using bench = await useTokens({});
  await bench.client.fetchManifest(bench.query());
  assert.deepEqual(bench.tokenLines(), ["GET ?service=the+service&scope=repository%3Aorg%2Fapp%3Apull"]);
  assert.deepEqual(bench.server.lines, [
    "GET /v2/org/app/manifests/v1 -",
    `GET /token${bench.tokenLines()[0]?.slice(4)} -`,
    "GET /v2/org/app/manifests/v1 Bearer t1",
  ]);
});

test("the challenge's own scopes are asked for, a password goes to the realm only", async () => {
  await using bench = await useTokens({
    challenge: (host) => [
      "Negotiate",
      `Basic realm="x", Bearer realm="http://${host}/token?a=b",scope="repository:x:pull repository:y:pull"`,
    ],
  });
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.deepEqual(bench.tokenLines(), [
    `GET ?a=b&scope=repository%3Ax%3Apull&scope=repository%3Ay%3Apull ${basicOfPod}`,
  ]);
  assert.equal(bench.server.lines.filter((line) => line.endsWith(basicOfPod)).length, 1);
});

test("a relative realm", async () => {
  await using bench = await useTokens({ challenge: () => 'Bearer realm="/token"' });
  await bench.client.fetchManifest(bench.query());
  assert.equal(bench.tokenLines().length, 1);
});

test("an identity token is shown by POST", async () => {
  await using bench = await useTokens({ token: () => ({ body: '{"access_token":"t1"}' }) });
  await bench.client.fetchManifest(bench.query({ credentials: [identity] }));
  const form =
    "grant_type=refresh_token&refresh_token=it%2F1&service=the+service&client_id=oras-csi&scope=repository%3Aorg%2Fapp%3Apull";
  assert.deepEqual(bench.tokenLines(), [`POST ${form}`]);
});

for (const status of [400, 401, 403, 404, 405, 422]) {
  test(`a token server that answers one method with ${status} is asked by the other`, async () => {
    for (const [credential, refused] of [
      [podSecret, "GET"],
      [identity, "POST"],
    ] as const) {
      await using bench = await useTokens({
        token: ({ method }) => (method === refused ? { status } : { body: '{"token":"t2"}' }),
      });
      await bench.client.fetchManifest(bench.query({ credentials: [credential] }));
      assert.deepEqual(
        bench.tokenLines().map((line) => line.split(" ")[0]),
        [refused, refused === "GET" ? "POST" : "GET"],
      );
      const form = bench.server.seen.find(({ method }) => method === "POST")?.body ?? "";
      if (credential === podSecret) assert.match(form, /grant_type=password&username=u&password=p/);
    }
  });
}

const tokenFailures: {
  name: string;
  token: ScriptedAnswer;
  kind: "unauthenticated" | "forbidden" | "unavailable";
  says: RegExp;
}[] = [
  {
    name: "401",
    token: { status: 401, body: '{"errors":[{"code":"UNAUTHORIZED"}]}' },
    kind: "unauthenticated",
    says: /token server 127\.0\.0\.1:\d+: 401 Unauthorized \(UNAUTHORIZED\); tried: the pod's secret;/,
  },
  {
    name: "invalid_grant",
    token: { status: 400, body: '{"error":"invalid_grant","error_description":"no"}' },
    kind: "unauthenticated",
    says: /\(invalid_grant: no\)/,
  },
  { name: "403", token: { status: 403 }, kind: "forbidden", says: /403/ },
  { name: "404", token: { status: 404 }, kind: "unavailable", says: /token server .*404/ },
  { name: "500", token: { status: 500 }, kind: "unavailable", says: /500/ },
  { name: "no token", token: { body: "{}" }, kind: "unavailable", says: /holds no token/ },
  {
    name: "a token that is too large to be kept",
    token: { body: JSON.stringify({ token: "t".repeat(130 * 1024) }) },
    kind: "unavailable",
    says: /holds no token/,
  },
  { name: "no JSON", token: { body: "<html>" }, kind: "unavailable", says: /holds no token/ },
  {
    name: "a token that breaks lines",
    token: { body: '{"token":"a\\r\\nX: y"}' },
    kind: "unavailable",
    says: /holds no token/,
  },
];
for (const { name, token, kind, says } of tokenFailures) {
  test(`a token server's answer: ${name}`, async () => {
    await using bench = await useTokens({ token: () => token });
    await assert.rejects(bench.client.fetchManifest(bench.query({ credentials: [podSecret] })), failsAs(kind, says));
  });
}

test("a token is used again until it is old, by the monotonic clock", async () => {
  await using bench = await useTokens({
    token: (_, count) => ({ body: JSON.stringify({ token: `t${count}`, expires_in: 100 }) }),
  });
  await bench.client.fetchManifest(bench.query());
  bench.clock.advance(89_000);
  await bench.client.fetchManifest(bench.query());
  assert.equal(bench.tokenLines().length, 1);
  bench.clock.advance(2_000);
  await bench.client.fetchManifest(bench.query());
  assert.equal(bench.tokenLines().length, 2);
  assert.equal(
    bench.server.lines.filter((line) => line.endsWith("v1 -")).length,
    1,
    "only the first request is challenged",
  );
});

test("a token without a lifetime is good for a minute", async () => {
  await using bench = await useTokens({});
  for (const passed of [0, 53_000, 2_000]) {
    bench.clock.advance(passed);
    await bench.client.fetchManifest(bench.query());
  }
  assert.equal(bench.tokenLines().length, 2);
});

for (const status of [400, 401, 403, 404, 410, 418, 422]) {
  test(`a token used again that is refused with ${status} is fetched anew, once`, async () => {
    let bad = "";
    await using bench = await useClient(({ url, headers }) => {
      if (url.startsWith("/token")) return { body: JSON.stringify({ token: `t${bench.server.seen.length}` }) };
      if (headers.authorization === undefined)
        return { status: 401, headers: { "www-authenticate": 'Bearer realm="/token"' } };
      return headers.authorization === bad ? { status } : { body: "{}" };
    });
    await bench.client.fetchManifest(bench.query());
    bad = String(bench.server.seen.at(-1)?.headers.authorization);
    await bench.client.fetchManifest(bench.query());
    const tokens = bench.server.lines.filter((line) => line.startsWith("GET /token"));
    assert.equal(tokens.length, 2);
  });
}

test("a fresh token that is refused twice ends it", async () => {
  await using bench = await useTokens({ letsIn: () => false });
  await assert.rejects(
    bench.client.fetchManifest(bench.query({ credentials: [podSecret] })),
    failsAs("unauthenticated", /401/),
  );
  assert.equal(bench.tokenLines().length, 1);
});

test("a second 401 may ask for another scheme", async () => {
  await using bench = await useTokens({
    challenge: () => ['Bearer realm="/token"', "Basic realm=x"],
    letsIn: ({ headers }) => headers.authorization === basicOfPod,
  });
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  assert.deepEqual(
    bench.server.lines.map((line) => line.split(" ").slice(2).join(" ")),
    ["-", basicOfPod, "Bearer t1", basicOfPod],
  );
});

test("many requests at once share one token", async () => {
  await using bench = await useTokens({});
  await Promise.all(Array.from({ length: 12 }, () => bench.client.fetchManifest(bench.query())));
  assert.equal(bench.tokenLines().length, 1);
});

test("credentials do not share tokens", async () => {
  await using bench = await useTokens({ letsIn: ({ headers }) => headers.authorization !== undefined });
  await bench.client.fetchManifest(bench.query({ credentials: [podSecret] }));
  await bench.client.fetchManifest(bench.query({ credentials: [nodeConfig] }));
  await bench.client.fetchManifest(bench.query());
  assert.equal(bench.tokenLines().length, 3);
});

test("repositories do not share tokens, and neither do ways of trusting a registry", async () => {
  const asked: string[] = [];
  const send = ({ target, trust }: HttpRequest): Promise<HttpResponse> => {
    asked.push(`${trust} ${target.path}`);
    const bytes = Buffer.from(JSON.stringify({ token: `t${asked.length}` }));
    const body = { readAtMost: async () => ({ bytes, whole: true }) } as unknown as HttpResponse["body"];
    return Promise.resolve({ status: 200, headers: new Map(), target, body });
  };
  const authorizer = new Authorizer({ send, clock: new ManualClock() });
  const challenges = [{ scheme: "bearer", parameters: new Map([["realm", "https://auth.example/t"]]) }];
  for (const repository of ["org/app", "org/other"]) {
    for (const transport of ["https", "insecure"] as const) {
      const endpoint = endpointOf({ registry: "r.example", repository, transport });
      assert.equal(await authorizer.current(endpoint, podSecret), undefined);
      await authorizer.answer({ endpoint, asked: endpoint.base }, podSecret, { challenges, refused: new Set() });
    }
  }
  const path = (repository: string) => `/t?scope=repository%3Aorg%2F${repository}%3Apull`;
  const each = ["app", "other"].flatMap((name) => [`verified ${path(name)}`, `unverified ${path(name)}`]);
  assert.deepEqual(asked, each);
});

test("one who gives up does not take the token from the others", async () => {
  const controller = new AbortController();
  const reason = new Error("gone");
  await using bench = await useTokens({
    token: () => {
      controller.abort(reason);
      return { body: '{"token":"t1"}' };
    },
  });
  const leaving = assert.rejects(
    bench.client.fetchManifest(bench.query({ signal: controller.signal })),
    (e) => e === reason,
  );
  await Promise.all([leaving, bench.client.fetchManifest(bench.query())]);
});

const hopeless: { challenge: string; says: RegExp }[] = [
  { challenge: "AWS4 realm=x", says: /Aws4;/ },
  { challenge: 'Bearer realm="Our Registry"', says: /Bearer with a realm that is no address/ },
  { challenge: 'Bearer realm="ftp://u:pw@a.example/"', says: /Bearer at a\.example, which is no http address;/ },
  { challenge: "Bearer", says: /Bearer with a realm/ },
  { challenge: 'Digest realm="https://user:pw@auth.example/x?sig=SECRET"', says: /Digest at auth\.example;/ },
];
for (const { challenge, says } of hopeless) {
  test(`hopeless: ${challenge}`, async () => {
    await using bench = await useTokens({ challenge: () => challenge });
    await assert.rejects(
      bench.client.fetchManifest(bench.query({ credentials: [podSecret] })),
      failsAs("unavailable", /asks for what cannot be answered/, says, /^((?!SECRET|pw).)*$/),
    );
    assert.equal(bench.server.seen.length, 1);
  });
}
