import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { one, two, useResolver } from "../../test/helpers/resolver-bench.ts";
import { rawManifest } from "../../test/registry/index.ts";
import { DriverError } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import type { PullPolicy } from "./resolver.ts";

/** What the cache knows when the call comes. */
type Known = "nothing" | "ours" | "another namespace's" | "another repository's" | "another transport's";

describe("policies", () => {
  const GET = ["GET v1"];
  const HEAD = ["HEAD v1"];
  const rows: readonly { policy: PullPolicy; known: Known; asks: readonly string[] | "not-found" }[] = [
    { policy: "IfNotPresent", known: "nothing", asks: GET },
    { policy: "IfNotPresent", known: "ours", asks: [] },
    { policy: "IfNotPresent", known: "another namespace's", asks: GET },
    { policy: "IfNotPresent", known: "another repository's", asks: GET },
    { policy: "IfNotPresent", known: "another transport's", asks: GET },
    { policy: "Always", known: "nothing", asks: GET },
    { policy: "Always", known: "ours", asks: HEAD },
    { policy: "Always", known: "another namespace's", asks: GET },
    { policy: "Never", known: "nothing", asks: "not-found" },
    { policy: "Never", known: "ours", asks: [] },
    { policy: "Never", known: "another namespace's", asks: "not-found" },
    { policy: "Never", known: "another repository's", asks: "not-found" },
    { policy: "Never", known: "another transport's", asks: "not-found" },
  ];
  for (const { policy, known, asks } of rows) {
    test(`${policy}, the cache has ${known}: ${asks === "not-found" ? asks : asks.join() || "nothing is asked"}`, async () => {
      await using used = await useResolver();
      const { resolve, asked, request } = used;
      if (known === "ours") await resolve();
      if (known === "another namespace's") await resolve({ namespace: "red" });
      if (known === "another repository's") await resolve({ text: "a.io/other/thing:v1" });
      if (known === "another transport's") {
        await resolve({ repository: { ...request().repository, transport: "insecure" } });
      }
      asked();
      if (asks === "not-found") {
        await assert.rejects(resolve({ policy }), { kind: "not-found", message: /pullpolicy is Never/ });
        assert.deepEqual(asked(), []);
        return;
      }
      assert.equal(await resolve({ policy }), one.digest);
      assert.deepEqual(asked(), asks);
    });
  }

  test("without namespaces, what another namespace or repository was given serves all", async () => {
    await using used = await useResolver({ enforceNamespaces: false });
    await used.resolve({ namespace: "red" });
    used.asked();
    assert.equal(await used.resolve({ policy: "Never" }), one.digest);
    assert.equal(await used.resolve({ text: `a.io/other/thing@${one.digest}`, policy: "Never" }), one.digest);
    assert.deepEqual(used.asked(), []);
  });
});

describe("Always", () => {
  test("a tag that moved is fetched, and remembered", async () => {
    await using used = await useResolver();
    await used.resolve();
    used.source.put("v1", two);
    used.asked();
    assert.equal(await used.resolve({ policy: "Always" }), two.digest);
    assert.deepEqual(used.asked(), ["HEAD v1", "GET v1"]);
    assert.equal(await used.resolve(), two.digest);
    assert.deepEqual(used.asked(), []);
  });

  for (const [name, claim] of [
    ["nothing", () => undefined],
    ["another digest", () => digestOf(Buffer.from("x"))],
    ["the digest by another algorithm", () => digestOf(one.bytes, "sha512")],
  ] as const) {
    test(`a HEAD that says ${name} decides nothing`, async () => {
      await using used = await useResolver();
      await used.resolve();
      used.source.claim = claim;
      used.asked();
      assert.equal(await used.resolve({ policy: "Always" }), one.digest);
      assert.deepEqual(used.asked(), ["HEAD v1", "GET v1"]);
    });
  }

  test("a HEAD is no proof for a namespace that was given nothing", async () => {
    await using used = await useResolver();
    await used.resolve({ namespace: "red" });
    used.source.failure = new DriverError("forbidden", "no");
    used.source.claim = (digest) => digest;
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "forbidden" });
  });

  test("a digest is asked for, too", async () => {
    await using used = await useResolver();
    const text = `a.io/team/thing@${one.digest}`;
    await used.resolve({ text });
    used.asked();
    await used.resolve({ text, policy: "Always" });
    assert.deepEqual(used.asked(), [`HEAD ${one.digest}`]);
  });

  test("no registry, no answer, cached or not; IfNotPresent goes on", async () => {
    await using used = await useResolver();
    await used.resolve();
    used.source.failure = new DriverError("unavailable", "no route");
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "unavailable" });
    assert.equal(await used.resolve(), one.digest);
  });
});

describe("permission", () => {
  for (const [kind, keeps] of [
    ["unauthenticated", false],
    ["forbidden", false],
    ["unavailable", true],
    ["not-found", true],
  ] as const) {
    test(`${kind} ${keeps ? "leaves" : "takes away"} what a namespace had, and leaves the others'`, async () => {
      await using used = await useResolver();
      await used.resolve();
      await used.resolve({ namespace: "red" });
      used.source.failure = new DriverError(kind, "no");
      await assert.rejects(used.resolve({ policy: "Always" }), { kind });
      if (keeps) assert.equal(await used.resolve({ policy: "Never" }), one.digest);
      else await assert.rejects(used.resolve({ policy: "Never" }), { kind: "not-found" });
      assert.equal(await used.resolve({ policy: "Never", namespace: "red" }), one.digest);
    });
  }

  test("it survives a restart, and comes back with the next answer", async () => {
    await using used = await useResolver();
    await used.resolve();
    assert.equal((await used.restarted().resolve(used.request())).digest, one.digest);
    used.source.failure = new DriverError("forbidden", "no");
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "forbidden" });
    used.source.failure = undefined;
    assert.equal(await used.resolve(), one.digest);
    assert.equal(await used.resolve({ policy: "Never" }), one.digest);
  });

  test("a manifest that is refused gives no permission and is not kept", async () => {
    await using used = await useResolver();
    used.source.put("v1", rawManifest({ schemaVersion: 1 }, []));
    for (let i = 0; i < 2; i++) {
      await assert.rejects(used.resolve(), {
        kind: "refused",
        message: /^cannot pull a\.io\/team\/thing:v1: .*schema 1/,
      });
    }
    assert.deepEqual(used.asked(), ["GET v1", "GET v1"]);
    await assert.rejects(used.resolve({ policy: "Never" }), { kind: "not-found" });
  });
});

describe("tag and digest", () => {
  test("the digest decides, and the tag is not noted", async () => {
    await using used = await useResolver();
    used.source.put("v2", two);
    assert.equal(await used.resolve({ text: `a.io/team/thing:v1@${two.digest}` }), two.digest);
    assert.deepEqual(used.asked(), [`GET ${two.digest}`]);
    await assert.rejects(used.resolve({ policy: "Never" }), { kind: "not-found" });
    assert.equal(await used.resolve({ text: `a.io/team/thing@${two.digest}`, policy: "Never" }), two.digest);
  });

  test("no tag is latest", async () => {
    await using used = await useResolver();
    used.source.put("latest", two);
    assert.equal(await used.resolve({ text: "a.io/team/thing" }), two.digest);
    assert.deepEqual(used.asked(), ["GET latest"]);
  });
});

describe("requests at once", () => {
  test("equal ones ask once, others for themselves", async () => {
    await using used = await useResolver();
    await Promise.all([used.resolve(), used.resolve(), used.resolve({ namespace: "red" })]);
    assert.deepEqual(used.asked(), ["GET v1", "GET v1"]);
  });

  test("a failure is shared, too, and not kept", async () => {
    await using used = await useResolver();
    used.source.failure = new DriverError("unavailable", "no route");
    await Promise.all([1, 2].map(() => assert.rejects(used.resolve(), { kind: "unavailable" })));
    assert.deepEqual(used.asked(), ["GET v1"]);
    used.source.failure = undefined;
    assert.equal(await used.resolve(), one.digest);
  });
});
