import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { chart, turns, useArtifacts } from "../../test/helpers/artifacts-bench.ts";
import { artifact, fileLayer, image } from "../../test/registry/index.ts";
import { parseDigest } from "../oci/index.ts";
import type { ArtifactRequest } from "./artifacts.ts";

/** Calls for a volume, as often as it takes, until the answer near the deadline says this. */
async function wishFor(
  used: Awaited<ReturnType<typeof useArtifacts>>,
  request: Parameters<typeof used.present>[0],
  says: RegExp,
) {
  for (;;) {
    const called = used.present(request).then(
      () => assert.fail("the pull was not to be done yet"),
      (error: Error) => error.message,
    );
    // Worker and registry have work to do meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 20));
    used.clock.advance(95_000);
    if (says.test(await called)) return;
  }
}

test("what names files is refused to one volume of a pull: it fails alone, and its namespace is the one that loses", async () => {
  await using used = await useArtifacts({ bytesPerSecond: 2000 });
  const { registry, area } = used;
  const { config, manifest } = chart("one");
  await used.pushThing(manifest, "charts/one");
  for (const name of ["1", "2"]) await used.pushThing(artifact([fileLayer("a", randomBytes(100_000))]), `busy/${name}`);
  const ann = { username: "ann", password: "right" };
  const header = `Basic ${Buffer.from("ann:right").toString("base64")}`;
  registry.fault = ({ path, headers }) => {
    if (!path.endsWith(config.digest) || headers["authorization"] === header) return undefined;
    return { kind: "status", status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
  };
  // Bytes come: these two have their places.
  for (const name of ["1", "2"]) await wishFor(used, { repository: `busy/${name}`, volume: name }, /[1-9] of 100 kB/);
  // The pull that these three want waits for its turn; who began it leaves.
  const wish = (more: Partial<ArtifactRequest>) =>
    wishFor(used, { repository: "charts/one", secrets: ann, ...more }, /waiting for \d other pull/);
  await wish({});
  await wish({ volume: "v2", namespace: "green", secrets: { username: "bob", password: "wrong" } });
  used.artifacts.leave("v1");
  await wish({ volume: "v3" });
  rmSync(area.cache.layout.blob(parseDigest(config.digest)));
  for (const name of ["1", "2"]) used.artifacts.leave(name);
  while (!area.lines.some((line) => line.includes("a volume's credentials are refused"))) await turns();
  const repository = { registry: registry.host, repository: "charts/one", transport: "http" } as const;
  const allowed = ["blue", "green"].map((namespace) => area.cache.references.isAllowed(repository, namespace));
  assert.deepEqual(await Promise.all(allowed), [true, false]);
  const tree = await used.present({ repository: "charts/one", secrets: ann, volume: "v3" });
  assert.deepEqual(readdirSync(tree.folder), ["one.tgz"]);
});

test("a missing blob fails for good, and is asked for again by the next call", async () => {
  await using used = await useArtifacts();
  const file = fileLayer("a", "1");
  await used.pushThing(artifact([file]));
  used.registry.content.deleteBlob("team/thing", file.digest);
  for (let i = 1; i <= 2; i++) {
    await assert.rejects(used.present(), { kind: "not-found", message: /team\/thing/ });
    assert.equal(used.registry.log.blobGets().length, i);
  }
  assert.deepEqual(await used.halfMade(), []);
});

test("what can be no tree is refused with the reference, before any blob is asked for", async () => {
  await using used = await useArtifacts();
  await used.pushThing(image([{ packed: Buffer.from("1"), diffId: `sha256:${"a".repeat(64)}` }]));
  await assert.rejects(used.present({ selection: { mediaTypes: [], titles: ["x"] } }), {
    kind: "bad-input",
    message: /^cannot pull 127.*team\/thing:v1: layers of an image cannot be chosen/,
  });
  await used.pushThing(artifact([fileLayer("../x", "1")]));
  await assert.rejects(used.present({ policy: "Always" }), {
    kind: "refused",
    message: /^cannot pull 127.*"\.\.\/x"/,
  });
  assert.equal(used.registry.log.blobGets().length, 0);
});

test("a secret that cannot be read is the volume's fault", async () => {
  await using used = await useArtifacts();
  const secrets = { ".dockerconfigjson": "{not json: hunter2" };
  await assert.rejects(used.present({ secrets }), (error: Error & { kind?: string }) => {
    assert.equal(error.kind, "bad-input");
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
  assert.equal(used.registry.log.entries.length, 0);
});

test("Never does not fetch blobs that are missing", async () => {
  await using used = await useArtifacts();
  const file = fileLayer("a", "1", "x/one");
  await used.pushThing(artifact([file, fileLayer("b", "2", "x/two")]));
  await used.present({ selection: { mediaTypes: ["x/two"], titles: [] } });
  await assert.rejects(used.present({ policy: "Never" }), { kind: "not-found", message: new RegExp(file.digest) });
  assert.equal(used.registry.log.blobGets().length, 1);
});
