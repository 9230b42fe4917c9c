import assert from "node:assert/strict";
import { chmodSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import { artifact, type BuiltManifest, fileLayer, index, rawManifest } from "../../test/registry/index.ts";
import { createMemory, DriverError } from "../base/index.ts";
import { type Digest, digestOf, mediaTypes, parsePlatform, parseReference } from "../oci/index.ts";
import { anonymous, type FetchedManifest } from "../registry/index.ts";
import { type ManifestSource, type PullPolicy, type ResolveRequest, Resolver } from "./resolver.ts";
import type { ManifestRequest } from "./worker-calls.ts";

const memory = createMemory({ trimMemory: () => Promise.resolve() });
const one = artifact([fileLayer("a", "1")]);
const two = artifact([fileLayer("a", "2")]);

/** A registry with one repository: manifests by tag and digest, and what it was asked. */
class ScriptedSource implements ManifestSource {
  readonly manifests = new Map<string, BuiltManifest>();
  readonly asked: string[] = [];
  failure: DriverError | undefined;
  /** What HEAD says in place of the truth. */
  claim: ((digest: Digest) => Digest | undefined) | undefined;

  put(tag: string, manifest: BuiltManifest): void {
    this.manifests.set(tag, manifest);
    this.manifests.set(manifest.digest, manifest);
    for (const child of manifest.children) this.put(child.digest, child);
  }

  async fetchManifest({ tagOrDigest }: ManifestRequest): Promise<FetchedManifest> {
    this.asked.push(`GET ${tagOrDigest}`);
    if (this.failure !== undefined) throw this.failure;
    const found = this.manifests.get(tagOrDigest);
    if (found === undefined) throw new DriverError("not-found", `no ${tagOrDigest}`);
    const { bytes, mediaType } = found;
    return { bytes, contentType: mediaType, digest: digestOf(bytes), credential: anonymous };
  }

  headManifest({ tagOrDigest }: ManifestRequest): Promise<Digest | undefined> {
    this.asked.push(`HEAD ${tagOrDigest}`);
    const found = this.failure === undefined ? this.manifests.get(tagOrDigest) : undefined;
    if (found === undefined) return Promise.resolve(undefined);
    const digest = digestOf(found.bytes);
    return Promise.resolve(this.claim === undefined ? digest : this.claim(digest));
  }
}

async function use({ enforceNamespaces = true } = {}) {
  const area = await useCache();
  const source = new ScriptedSource();
  source.put("v1", one);
  const resolver = new Resolver({ cache: area.cache, source, enforceNamespaces, memory });
  const request = (changes: Partial<ResolveRequest> & { readonly text?: string } = {}): ResolveRequest => {
    const { text = "a.io/team/thing:v1", ...rest } = changes;
    const reference = parseReference(text);
    const { registry, repository } = reference;
    return {
      reference,
      repository: { registry, repository, transport: "https" },
      namespace: "blue",
      policy: "IfNotPresent",
      platform: parsePlatform("linux/amd64"),
      credentials: [anonymous],
      caCertificates: [],
      ...rest,
    };
  };
  const resolve = async (changes?: Parameters<typeof request>[0]) => (await resolver.resolve(request(changes))).digest;
  /** What was asked since the last time. */
  const asked = () => source.asked.splice(0);
  const dispose = () => area[Symbol.asyncDispose]();
  return { area, source, resolver, request, resolve, asked, [Symbol.asyncDispose]: dispose };
}

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
      await using used = await use();
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
    await using used = await use({ enforceNamespaces: false });
    await used.resolve({ namespace: "red" });
    used.asked();
    assert.equal(await used.resolve({ policy: "Never" }), one.digest);
    assert.equal(await used.resolve({ text: `a.io/other/thing@${one.digest}`, policy: "Never" }), one.digest);
    assert.deepEqual(used.asked(), []);
  });
});

describe("Always", () => {
  test("a tag that moved is fetched, and remembered", async () => {
    await using used = await use();
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
      await using used = await use();
      await used.resolve();
      used.source.claim = claim;
      used.asked();
      assert.equal(await used.resolve({ policy: "Always" }), one.digest);
      assert.deepEqual(used.asked(), ["HEAD v1", "GET v1"]);
    });
  }

  test("a HEAD is no proof for a namespace that was given nothing", async () => {
    await using used = await use();
    await used.resolve({ namespace: "red" });
    used.source.failure = new DriverError("forbidden", "no");
    used.source.claim = (digest) => digest;
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "forbidden" });
  });

  test("a digest is asked for, too", async () => {
    await using used = await use();
    const text = `a.io/team/thing@${one.digest}`;
    await used.resolve({ text });
    used.asked();
    await used.resolve({ text, policy: "Always" });
    assert.deepEqual(used.asked(), [`HEAD ${one.digest}`]);
  });

  test("no registry, no answer, cached or not; IfNotPresent goes on", async () => {
    await using used = await use();
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
      await using used = await use();
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
    await using used = await use();
    await used.resolve();
    const { cache } = used.area;
    const again = new Resolver({ cache, source: new ScriptedSource(), enforceNamespaces: true, memory });
    assert.equal((await again.resolve(used.request())).digest, one.digest);
    used.source.failure = new DriverError("forbidden", "no");
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "forbidden" });
    used.source.failure = undefined;
    assert.equal(await used.resolve(), one.digest);
    assert.equal(await used.resolve({ policy: "Never" }), one.digest);
  });

  test("a manifest that is refused gives no permission and is not kept", async () => {
    await using used = await use();
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
    await using used = await use();
    used.source.put("v2", two);
    assert.equal(await used.resolve({ text: `a.io/team/thing:v1@${two.digest}` }), two.digest);
    assert.deepEqual(used.asked(), [`GET ${two.digest}`]);
    await assert.rejects(used.resolve({ policy: "Never" }), { kind: "not-found" });
    assert.equal(await used.resolve({ text: `a.io/team/thing@${two.digest}`, policy: "Never" }), two.digest);
  });

  test("no tag is latest", async () => {
    await using used = await use();
    used.source.put("latest", two);
    assert.equal(await used.resolve({ text: "a.io/team/thing" }), two.digest);
    assert.deepEqual(used.asked(), ["GET latest"]);
  });
});

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
    await using used = await use();
    used.source.put("v1", both);
    assert.equal(await used.resolve(), two.digest);
    assert.equal(await used.resolve({ platform: parsePlatform("linux/arm64/v8") }), one.digest);
    assert.deepEqual(used.asked(), ["GET v1", `GET ${two.digest}`, `GET ${one.digest}`]);
    assert.equal(await used.resolve({ policy: "Never" }), two.digest);
    assert.deepEqual(used.asked(), []);
  });

  test("without the platform it says what there is", async () => {
    await using used = await use();
    used.source.put("v1", both);
    const asked = used.resolve({ platform: parsePlatform("linux/riscv64") });
    await assert.rejects(asked, {
      kind: "not-found",
      message: /a\.io\/team\/thing:v1 has nothing for .*linux\/arm64, linux\/amd64/,
    });
  });

  test("Never does not fetch an entry that is missing", async () => {
    await using used = await use();
    used.source.put("v1", both);
    await used.resolve();
    used.asked();
    const asked = used.resolve({ policy: "Never", platform: parsePlatform("linux/arm64") });
    await assert.rejects(asked, { kind: "not-found", message: /for this platform/ });
    assert.deepEqual(used.asked(), []);
  });

  test("of indexes is followed, but not for ever", async () => {
    await using used = await use();
    let nested = both;
    for (let depth = 1; depth <= 3; depth++) nested = index([{ manifest: nested, platform: amd64 }]);
    used.source.put("v1", nested);
    assert.equal(await used.resolve(), two.digest);
    used.source.put("v1", index([{ manifest: nested, platform: amd64 }]));
    await assert.rejects(used.resolve({ policy: "Always" }), { kind: "refused", message: /index of indexes/ });
  });

  test("is looked for in indexes that name no platform, in their order, where no entry does", async () => {
    await using used = await use();
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
    await using used = await use();
    const many = Array.from({ length: 100 }, (_, i) =>
      index([{ manifest: one, platform: { os: "linux", architecture: `a${i}` } }]),
    );
    used.source.put("v1", indexOfIndexes(...many));
    await assert.rejects(used.resolve(), { kind: "not-found" });
    assert.equal(used.asked().length, 17);
  });

  test("that is wrong about an entry's size is no proof of it, cached or not", async () => {
    await using used = await use();
    const entry = { mediaType: one.mediaType, digest: one.digest, size: one.bytes.length - 1, platform: amd64 };
    const lying = rawManifest({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [entry] }, []);
    used.source.put("v1", { ...lying, mediaType: mediaTypes.index, children: [one] });
    const says = new RegExp(`manifest ${one.digest} has ${one.bytes.length} bytes where its index says`);
    for (let i = 0; i < 2; i++) await assert.rejects(used.resolve(), { kind: "corrupt", message: says });
  });

  test("an entry that the registry does not have any more is not found", async () => {
    await using used = await use();
    used.source.put("v1", both);
    used.source.manifests.delete(two.digest);
    await assert.rejects(used.resolve(), { kind: "not-found" });
  });
});

describe("the cache", () => {
  test("a good manifest is read back only when its file is another one or was changed", async (t) => {
    await using used = await use();
    const { resolve, asked, area } = used;
    await resolve();
    const read = t.mock.method(area.cache.blobs, "read");
    for (let i = 0; i < 3; i++) await resolve();
    assert.equal(read.mock.callCount(), 0);
    const path = area.cache.layout.blob(digestOf(one.bytes));
    const { atime, mtime } = statSync(path);
    utimesSync(path, atime, new Date(0));
    for (let i = 0; i < 3; i++) await resolve();
    assert.equal(read.mock.callCount(), 1);
    const wrong = Buffer.from(one.bytes);
    wrong[0] = 0;
    writeFileSync(path, wrong);
    utimesSync(path, atime, mtime);
    asked();
    assert.equal(await resolve(), one.digest);
    assert.deepEqual(asked(), ["GET v1"]);
    rmSync(path);
    assert.equal(await resolve(), one.digest);
    assert.deepEqual(asked(), ["GET v1"]);
    assert.equal(await resolve(), one.digest);
    assert.deepEqual(asked(), []);
  });

  for (const [name, bytes] of [
    ["lost bytes", ""],
    ["changed", Buffer.from(one.bytes).fill(0x20, 10, 12)],
  ] as const) {
    test(`a manifest that the disk has ${name} is fetched again`, async () => {
      await using used = await use();
      await used.resolve();
      const file = used.area.cache.layout.blob(digestOf(one.bytes));
      chmodSync(file, 0o644);
      writeFileSync(file, bytes);
      used.asked();
      assert.equal(await used.resolve(), one.digest);
      assert.deepEqual(used.asked(), ["GET v1"]);
      assert.equal(await used.resolve({ policy: "Never" }), one.digest);
    });
  }

  test("equal requests at once ask once, others for themselves", async () => {
    await using used = await use();
    await Promise.all([used.resolve(), used.resolve(), used.resolve({ namespace: "red" })]);
    assert.deepEqual(used.asked(), ["GET v1", "GET v1"]);
  });

  test("a failure is shared, too, and not kept", async () => {
    await using used = await use();
    used.source.failure = new DriverError("unavailable", "no route");
    await Promise.all([1, 2].map(() => assert.rejects(used.resolve(), { kind: "unavailable" })));
    assert.deepEqual(used.asked(), ["GET v1"]);
    used.source.failure = undefined;
    assert.equal(await used.resolve(), one.digest);
  });
});
