import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeConfig, podSecret } from "../../test/registry-client/index.ts";
import { presentable } from "./client-tools.ts";
import { endpointOf, type Transport } from "./endpoint.ts";
import { anonymous } from "./index.ts";

const all = [podSecret, nodeConfig, anonymous];

const rows: { registry: string; transport: Transport; withheld: string[] }[] = [
  { registry: "r.example", transport: "https", withheld: [] },
  { registry: "r.example:5000", transport: "http", withheld: ["--docker-config (not shown over plain http)"] },
  { registry: "r.example", transport: "insecure", withheld: ["--docker-config (not shown over unverified TLS)"] },
  { registry: "localhost:5000", transport: "http", withheld: [] },
  { registry: "127.0.0.1:5000", transport: "insecure", withheld: [] },
];
for (const { registry, transport, withheld } of rows) {
  test(`what is shown to ${registry} over ${transport}`, () => {
    const endpoint = endpointOf({ registry, repository: "a", transport });
    const found = presentable(endpoint, all);
    assert.deepEqual(found.withheld, withheld);
    assert.deepEqual(found.shown, withheld.length === 0 ? all : [podSecret, anonymous]);
  });
}

test("where nothing may be shown, the registry is asked anonymously", () => {
  const endpoint = endpointOf({ registry: "r.example", repository: "a", transport: "http" });
  assert.deepEqual(presentable(endpoint, [nodeConfig]).shown, [anonymous]);
});
