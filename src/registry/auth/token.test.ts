import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock, nodeConfig, podSecret } from "../../../test/registry-client/index.ts";
import { anonymous, type Credential } from "../credential.ts";
import type { HttpRequest, TlsTrust } from "../http/http-types.ts";
import { parseTarget } from "../http/target.ts";
import { TransportError } from "../http/transport-error.ts";
import { fetchToken } from "./token.ts";

/** How the request for a token is sent, or why it is not. */
async function sentFor(realmUrl: string, trust: TlsTrust, credential: Credential): Promise<string> {
  const realm = parseTarget(realmUrl);
  assert.ok(realm);
  const sent: HttpRequest[] = [];
  const send = (one: HttpRequest) => {
    sent.push(one);
    return Promise.reject(new TransportError("connect", "test", "as far as it goes"));
  };
  const request = { realm, trust, service: undefined, scope: "repository:a:pull", credential };
  const failure = await fetchToken({ send, clock: new ManualClock() }, request).catch((error: unknown) => error);
  assert.ok(failure instanceof TransportError);
  return sent[0]?.trust ?? failure.message;
}

const rows: { realm: string; trust: TlsTrust; node: string; others: string }[] = [
  {
    realm: "http://auth.example/t",
    trust: "verified",
    node: "it asks for the node's credentials over plain http",
    others: "verified",
  },
  { realm: "http://127.0.0.1:5001/t", trust: "verified", node: "verified", others: "verified" },
  { realm: "https://auth.example/t", trust: "unverified", node: "verified", others: "unverified" },
  { realm: "https://localhost:5001/t", trust: "unverified", node: "unverified", others: "unverified" },
];
for (const { realm, trust, node, others } of rows) {
  test(`a token server at ${realm} whose registry is ${trust}`, async () => {
    assert.equal(await sentFor(realm, trust, nodeConfig), node);
    for (const credential of [podSecret, anonymous]) assert.equal(await sentFor(realm, trust, credential), others);
  });
}
