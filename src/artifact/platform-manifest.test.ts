import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { one, two, useResolver } from "../../test/helpers/resolver-bench.ts";
import { type BuiltManifest, index, rawManifest } from "../../test/registry/index.ts";
import { mediaTypes, parsePlatform } from "../oci/index.ts";

/** An index whose entries are indexes that name no platform. */
function indexOfIndexes(...children: readonly BuiltManifest[]): BuiltManifest {
  const manifests = children.map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.length }));
  const outer = rawManifest({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }, []);
  return { ...outer, mediaType: mediaTypes.index, children };
}

describe("an index", () => {
  const amd64 = { os: "linux", architecture: "amd64" };
  const both = index([
    { manifest: one, platform: { os: "linux", architecture: "arm64" } },
    { manifest: two, platform: amd64 },
  ]);

  test("chooses by platform, asks only for what is missing", async () => {
    await using used = await useResolver();
    used.source.put("v1", both);
    assert.equal(await used.resolve(), two.digest);
    assert.equal(await used.resolve({ platform: parsePlatform("linux/arm64/v8") }), one.digest);
    assert.deepEqual(used.asked(), ["GET v1", `GET ${two.digest}`, `GET ${one.digest}`]);
    assert.equal(await used.resolve({ policy: "Never" }), two.digest);
    assert.deepEqual(used.asked(), []);
  });

  test("without the platform it says what there is", async () => {
    await using used = await useResolver();
    used.source.put("v1", both);
    const asked = used.resolve({ platform: parsePlatform("linux/riscv64") });
    await assert.rejects(asked, {
      kind: "not-found",
      message: /a\.io\/team\/thing:v1 has nothing for .*linux\/arm64, linux\/amd64/,
    });
  });

  test("Never does not fetch an entry that is missing", async () => {
    await using used = await useResolver();
    used.source.put("v1", both);
    await used.resolve();
    used.asked();
    const asked = used.resolve({ policy: "Never", platform: parsePlatform("linux/arm64") });
    await assert.rejects(asked, { kind: "not-found", message: /for this platform/ });
    assert.deepEqual(used.asked(), []);
  });

  test("of indexes is followed, but not for ever", async () => {
    await using used = await useResolver();
    let nested = both;
    for (let depth = 1; depth <= 3; depth++) nested = index([{ manifest: nested, platform: amd64 }]);
    used.source.put("v1", nested);
    assert.equal(await used.resolve(), two.digest);
    used.source.put("v1", index([{ manifest: nested, platform: amd64 }]));
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "refused", message: /index of indexes/ });
  });

  test("is looked for in indexes that name no platform, in their order, where no entry does", async () => {
    await using used = await useResolver();
    const arm = { os: "linux", architecture: "arm64" };
    const [first, second, third] = [
      index([{ manifest: one, platform: arm }]),
      index([{ manifest: two, platform: amd64 }]),
      index([{ manifest: one, platform: amd64 }]),
    ];
    assert.ok(first && second && third);
    used.source.put("v1", indexOfIndexes(first, second, third));
    for (let i = 0; i < 2; i++) assert.equal(await used.resolve(), two.digest);
    assert.deepEqual(used.asked(), ["GET v1", `GET ${first.digest}`, `GET ${second.digest}`, `GET ${two.digest}`]);
    const nothing = used.resolve({ platform: parsePlatform("linux/riscv64") });
    await assert.rejects(nothing, { kind: "not-found", message: /nothing for platform linux\/riscv64/ });
  });

  test("of many indexes is not looked into without end", async () => {
    await using used = await useResolver();
    const many = Array.from({ length: 100 }, (_, i) =>
      index([{ manifest: one, platform: { os: "linux", architecture: `a${i}` } }]),
    );
    used.source.put("v1", indexOfIndexes(...many));
    await assert.rejects(used.resolve(), { kind: "not-found" });
    assert.equal(used.asked().length, 17);
  });

  test("that is wrong about an entry's size is no proof of it, cached or not", async () => {
    await using used = await useResolver();
    const entry = { mediaType: one.mediaType, digest: one.digest, size: one.bytes.length - 1, platform: amd64 };
    const lying = rawManifest({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [entry] }, []);
    used.source.put("v1", { ...lying, mediaType: mediaTypes.index, children: [one] });
    const says = new RegExp(`manifest ${one.digest} has ${one.bytes.length} bytes where its index says`);
    for (let i = 0; i < 2; i++) await assert.rejects(used.resolve(), { kind: "corrupt", message: says });
  });

  test("an entry that the registry does not have any more is not found", async () => {
    await using used = await useResolver();
    used.source.put("v1", both);
    used.source.manifests.delete(two.digest);
    await assert.rejects(used.resolve(), { kind: "not-found" });
  });
});
