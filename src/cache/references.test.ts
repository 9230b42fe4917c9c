import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { watchDisk } from "../../test/helpers/disk-calls.ts";
import { Prng } from "../../test/helpers/prng.ts";
import { digestOf } from "../oci/index.ts";
import type { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";
import type { AskedRepository } from "./references.ts";

const asked: AskedRepository = { registry: "ghcr.io", repository: "org/model", transport: "https" };
const digest = digestOf(Buffer.from("one"));
const other = digestOf(Buffer.from("two"), "sha512");
const tree = "cd".repeat(32) as TreeId;

const elsewhere: [name: string, repository: AskedRepository][] = [
  ["over another transport", { ...asked, transport: "http" }],
  ["over TLS that nobody verified", { ...asked, transport: "insecure" }],
  ["in another registry", { ...asked, registry: "ghcr.io:443" }],
  ["in another repository", { ...asked, repository: "org/model2" }],
  ["in a repository above it", { ...asked, repository: "org" }],
  ["where registry and repository are cut otherwise", { ...asked, registry: "ghcr.io/org", repository: "model/x" }],
];

/** The only file of a kind, of one repository. */
function onlyFile({ layout }: Cache, kind: "tags" | "namespaces" | "given"): string {
  const [repository, ...more] = readdirSync(layout.references);
  assert.deepEqual(more, []);
  const folder = join(layout.references, repository ?? "", kind);
  const files = readdirSync(folder);
  assert.equal(files.length, 1);
  return join(folder, files[0] ?? "");
}

test("a tag is what the registry said last, by name", async (t) => {
  const { references } = await useDataDir(t).open();
  assert.equal(await references.digestOfTag(asked, "v1"), undefined);
  await references.rememberTag(asked, "v1", digest);
  assert.equal(await references.digestOfTag(asked, "v1"), digest);
  await references.rememberTag(asked, "v1", other);
  assert.equal(await references.digestOfTag(asked, "v1"), other);
  for (const tag of ["V1", "v10", "v", "latest"]) assert.equal(await references.digestOfTag(asked, tag), undefined);
});

test("tags of any form are kept apart and stay inside", async (t) => {
  const { references, layout } = await useDataDir(t).open();
  const tags = ["a", "A", ".", "..", "../x", "a/b", "x".repeat(128), "ü", ""];
  for (const tag of tags) await references.rememberTag(asked, tag, digestOf(Buffer.from(tag)));
  for (const tag of tags) assert.equal(await references.digestOfTag(asked, tag), digestOf(Buffer.from(tag)));
  assert.equal(readdirSync(layout.references).length, 1);
});

test("a namespace is allowed until it is refused", async (t) => {
  const area = useDataDir(t);
  const { references } = await area.open();
  assert.equal(await references.isAllowed(asked, "a"), false);
  await references.revoke(asked, "a");
  await references.allow(asked, "a");
  await references.allow(asked, "b");
  await references.allow(asked, "a");
  assert.equal(await references.isAllowed(asked, "a"), true);
  assert.equal(await (await area.open()).references.isAllowed(asked, "a"), true);
  await references.revoke(asked, "a");
  await references.revoke(asked, "a");
  assert.deepEqual([await references.isAllowed(asked, "a"), await references.isAllowed(asked, "b")], [false, true]);
  assert.equal(await references.isAllowed(asked, "_"), false);
});

test("bytes and trees that a repository gave are known by their digest", async (t) => {
  const area = useDataDir(t);
  const { references } = await area.open();
  for (const content of [digest, other, tree]) assert.equal(await references.wasGiven(asked, content), false);
  for (const content of [digest, other, tree]) await references.rememberGiven(asked, content);
  await references.rememberGiven(asked, digest);
  const again = (await area.open()).references;
  for (const content of [digest, other, tree]) assert.equal(await again.wasGiven(asked, content), true);
  assert.equal(await again.wasGiven(asked, digestOf(Buffer.from("three"))), false);
});

for (const [name, repository] of elsewhere) {
  test(`what was learned does not count ${name}`, async (t) => {
    const { references } = await useDataDir(t).open();
    await references.rememberTag(asked, "v1", digest);
    await references.allow(asked, "a");
    await references.rememberGiven(asked, digest);
    assert.equal(await references.digestOfTag(repository, "v1"), undefined);
    assert.equal(await references.isAllowed(repository, "a"), false);
    assert.equal(await references.wasGiven(repository, digest), false);
    await references.revoke(repository, "a");
    assert.equal(await references.isAllowed(asked, "a"), true);
  });
}

test("the files say what they are about, and when", async (t) => {
  const area = useDataDir(t);
  const cache = await area.open();
  await cache.references.rememberTag(asked, "v1", digest);
  await cache.references.allow(asked, "team-a");
  const read = (path: string) => JSON.parse(readFileSync(path, "utf8")) as unknown;
  const about = { repository: "ghcr.io/org/model", transport: "https" };
  assert.deepEqual(read(onlyFile(cache, "tags")), { ...about, tag: "v1", digest, askedAt: area.clock.now() });
  assert.deepEqual(read(onlyFile(cache, "namespaces")), {
    ...about,
    namespace: "team-a",
    allowedAt: area.clock.now(),
  });
});

test("a corrupt tag is reported and asked for again", async (t) => {
  const area = useDataDir(t);
  await (await area.open()).references.rememberTag(asked, "v1", digest);
  const cache = await area.open();
  writeFileSync(onlyFile(cache, "tags"), JSON.stringify({ digest: "sha256:short" }));
  assert.equal(await cache.references.digestOfTag(asked, "v1"), undefined);
  assert.equal(area.lines[0]?.["level"], "error");
  await cache.references.rememberTag(asked, "v1", other);
  assert.equal(await cache.references.digestOfTag(asked, "v1"), other);
});

test("a corrupt permission is reported and is none", async (t) => {
  const area = useDataDir(t);
  await (await area.open()).references.allow(asked, "a");
  const cache = await area.open();
  writeFileSync(onlyFile(cache, "namespaces"), "");
  assert.equal(await cache.references.isAllowed(asked, "a"), false);
  assert.equal(area.lines[0]?.["level"], "error");
});

test("a refusal is durable when it is noted", async (t) => {
  const cache = await useDataDir(t).open();
  await cache.references.allow(asked, "a");
  const disk = watchDisk(t, join(onlyFile(cache, "namespaces"), ".."));
  await cache.references.revoke(asked, "a");
  assert.deepEqual(
    disk.calls.map((call) => call.split(" ")[0]),
    // The second one is what all namespaces were given: nothing, here.
    ["unlink", "sync", "unlink"],
  );
});

test("what all namespaces were given is theirs until one of them is refused", async (t) => {
  const { references } = await useDataDir(t).open();
  await references.allow(asked, "*");
  assert.equal(await references.isAllowed(asked, "a"), true);
  await references.revoke(asked, "b");
  assert.equal(await references.isAllowed(asked, "a"), false);
});

test("what is known is not read again", async (t) => {
  const area = useDataDir(t);
  const { references } = await area.open();
  await references.rememberTag(asked, "v1", digest);
  await references.allow(asked, "a");
  await references.rememberGiven(asked, digest);
  const again = (await area.open()).references;
  const askAll = () =>
    Promise.all([again.digestOfTag(asked, "v1"), again.isAllowed(asked, "a"), again.wasGiven(asked, digest)]);
  assert.deepEqual(await askAll(), [digest, true, true]);
  rmSync(area.layout.references, { recursive: true });
  assert.deepEqual(await askAll(), [digest, true, true]);
  again.forget();
  assert.deepEqual(await askAll(), [undefined, false, false]);
});

test("what cannot be written is not known", async (t) => {
  const { references, layout } = await useDataDir(t).open();
  rmSync(layout.references, { recursive: true });
  writeFileSync(layout.references, "");
  await assert.rejects(references.allow(asked, "a"));
  await assert.rejects(references.rememberTag(asked, "v1", digest));
  await assert.rejects(references.rememberGiven(asked, digest));
  assert.equal(await references.isAllowed(asked, "a"), false);
  assert.equal(await references.digestOfTag(asked, "v1"), undefined);
  assert.equal(await references.wasGiven(asked, digest), false);
});

test("however questions, permissions and refusals cross, memory says what the disk does", async (t) => {
  const seed = Number(process.env["ORAS_CSI_TEST_SEED"] ?? Date.now() % 2 ** 31);
  t.diagnostic(`seed ${seed} (ORAS_CSI_TEST_SEED)`);
  const random = new Prng(seed);
  const area = useDataDir(t);
  const { references } = await area.open();
  for (let round = 0; round < 50; round++) {
    references.forget();
    const calls = Array.from({ length: 6 }, () => {
      if (random.oneIn(3)) return references.isAllowed(asked, "a");
      if (random.oneIn(2)) return references.allow(asked, "a");
      return references.revoke(asked, "a");
    });
    await Promise.all(calls);
    const isKnown = await references.isAllowed(asked, "a");
    references.forget();
    assert.equal(isKnown, await references.isAllowed(asked, "a"));
  }
});
