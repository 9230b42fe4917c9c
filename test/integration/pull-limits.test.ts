import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "./support.ts";

test("--max-artifact-bytes: what is larger is refused before anything is fetched", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const layers = [fileLayer("a", randomBytes(60_000)), fileLayer("b", randomBytes(60_000))];
  const reference = await pushThing(registry, artifact(layers));
  await using sandbox = await Sandbox.start({ flags: ["--max-artifact-bytes=100k"] });
  registry.log.clear();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  const says = /team\/thing:v1: its layers have 120 kB .*--max-artifact-bytes of this node is 100 kB/;
  await rejectsWith(volume.publish(), "RESOURCE_EXHAUSTED", says);
  assert.equal(registry.log.blobGets().length, 0);
  await volume.unpublish();
  await assertNothingLeft(sandbox);
  // Only the layers that are wanted count.
  const one = sandbox.kubelet.volume({ attributes: attributes(reference, { "artifact.layers.title": "a" }) });
  await one.publish();
});

test("--stall-timeout: a connection that brings nothing is cut, and the blob is gone on with", REAL, async () => {
  const content = randomBytes(400_000);
  const layer = fileLayer("a", content);
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([layer]));
  registry.log.clear();
  const forever = new Promise<void>(() => undefined);
  registry.fault = ({ headers, path }) =>
    path.endsWith(layer.digest) && headers["range"] === undefined
      ? { kind: "hold", afterBytes: 150_000, until: forever }
      : undefined;
  await using sandbox = await Sandbox.start({ flags: ["--stall-timeout=3s"] });
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  assert.ok((await readFile(join(volume.targetPath, "a"))).equals(content));
  assert.deepEqual(
    registry.log.blobGets(layer.digest).map(({ headers, bytesSent }) => [headers["range"], bytesSent]),
    [
      [undefined, 150_000],
      ["bytes=150000-399999", 250_000],
    ],
  );
});

test("--max-bandwidth: all pulls together are no faster", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const pulls = ["v1", "v2"].map((tag) => ({ tag, content: randomBytes(1_500_000) }));
  const references = await Promise.all(
    pulls.map(({ tag, content }) => pushThing(registry, artifact([fileLayer("a", content)]), tag)),
  );
  await using sandbox = await Sandbox.start({ flags: ["--max-bandwidth=1M"] });
  const volumes = references.map((reference) => sandbox.kubelet.volume({ attributes: attributes(reference) }));
  const startedMs = performance.now();
  await Promise.all(volumes.map((volume) => volume.publish()));
  // 3 MB at 1 MB/s, of which a quarter of a second is made up for at once: a slow machine only takes longer.
  assert.ok(performance.now() - startedMs > 2_500);
  for (const [i, volume] of volumes.entries())
    assert.ok((await readFile(join(volume.targetPath, "a"))).equals(pulls[i]?.content ?? Buffer.alloc(0)));
});

test("--max-pulls: those that wait for their turn say for how many others", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ method, path }) =>
    method === "GET" && path.includes("/blobs/") ? { kind: "hold", afterBytes: 100, until: gate.promise } : undefined;
  await using sandbox = await Sandbox.start({ flags: ["--max-pulls=1"] });
  const volumes = [];
  for (const tag of ["v1", "v2", "v3"]) {
    const reference = await pushThing(registry, artifact([fileLayer("a", randomBytes(100_000))]), tag);
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    // In order: each has joined the queue when it is told to come again.
    const aborted = await rejectsWith(volume.publish({ timeoutMs: 5_000 }), "ABORTED");
    if (volumes.length > 0) {
      const others = volumes.length === 1 ? "1 other pull" : "2 other pulls";
      assert.match(aborted.message, new RegExp(`waiting for ${others} on this node`));
    }
    volumes.push(volume);
  }
  gate.resolve();
  await Promise.all(volumes.map((volume) => volume.publish()));
});

test("--concurrency: so many blobs of a pull come at once, unless its volume says otherwise", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start({ flags: ["--concurrency=2"] });
  const published = Object.entries({ 2: {}, 3: { "options.concurrency": "3" } }).map(async ([count, more]) => {
    const layers = Array.from({ length: 6 }, (_, i) => fileLayer(`${i}`, randomBytes(1000)));
    const reference = await pushThing(registry, artifact(layers), `v${count}`);
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference, more) });
    return { volume, layers, count: Number(count) };
  });
  const pulls = await Promise.all(published);
  registry.log.clear();
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ path }) =>
    path.includes("/blobs/") ? { kind: "hold", afterBytes: 0, until: gate.promise } : undefined;
  await Promise.all(pulls.map(({ volume }) => rejectsWith(volume.publish({ timeoutMs: 5_000 }), "ABORTED")));
  await registry.log.waitFor(() => registry.log.blobGets().length >= 5);
  for (const { layers, count } of pulls)
    assert.equal(layers.flatMap(({ digest }) => registry.log.blobGets(digest)).length, count);
  gate.resolve();
  await Promise.all(pulls.map(({ volume }) => volume.publish()));
});
