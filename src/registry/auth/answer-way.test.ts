import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointOf, type Transport } from "../endpoint.ts";
import { TransportError } from "../http/transport-error.ts";
import { chooseAnswerWay } from "./answer-way.ts";
import { parseChallenges } from "./challenge.ts";

function wayFor(registry: string, transport: Transport, line: string, refused: string[] = []) {
  const endpoint = endpointOf({ registry, repository: "a/b", transport });
  return chooseAnswerWay({ endpoint, asked: endpoint.base }, parseChallenges([line]), new Set(refused));
}

const plainRealm = 'Bearer realm="http://auth.example/t"';

test("a token server over plain http is refused to a registry over TLS, and named", () => {
  for (const transport of ["https", "insecure"] as const) {
    assert.throws(
      () => wayFor("r.example", transport, plainRealm),
      (e) =>
        e instanceof TransportError &&
        e.fault === "challenge" &&
        /Bearer at auth\.example over plain http/.test(e.message),
    );
  }
});

test("it is taken where the registry itself is plain http, or where both are this machine", () => {
  assert.equal(wayFor("r.example", "http", plainRealm)?.scheme, "bearer");
  assert.equal(wayFor("localhost:5000", "https", 'Bearer realm="http://localhost:5001/t"')?.scheme, "bearer");
  assert.throws(() => wayFor("localhost:5000", "https", plainRealm), TransportError);
  assert.throws(() => wayFor("r.example", "https", 'Bearer realm="http://localhost:5001/t"'), TransportError);
});

test("Basic is taken where Bearer cannot be", () => {
  assert.deepEqual(wayFor("r.example", "https", `${plainRealm}, Basic realm=x`), { scheme: "basic" });
});

test("what was refused is not chosen again", () => {
  const both = 'Basic realm=x, Bearer realm="https://auth.example/t"';
  assert.equal(wayFor("r.example", "https", both)?.scheme, "bearer");
  assert.equal(wayFor("r.example", "https", both, ["bearer"])?.scheme, "basic");
  assert.equal(wayFor("r.example", "https", both, ["bearer", "basic"]), undefined);
  assert.equal(wayFor("r.example", "https", "Basic realm=x", ["basic"]), undefined);
});

test("Docker Hub's API has a host of its own", () => {
  const endpoint = endpointOf({ registry: "docker.io", repository: "library/x", transport: "https" });
  assert.deepEqual(endpoint.base, { scheme: "https", host: "registry-1.docker.io", port: 443, path: "/v2/library/x" });
});
