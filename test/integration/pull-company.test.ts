import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer, push } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "./support.ts";

const contents = [randomBytes(200_000), randomBytes(200_000)];
const layers = contents.map((bytes, i) => fileLayer(`part-${i}`, bytes));
const secretOf = (name: string, password = name) => ({ username: name, password });

/** A private registry that holds the first blob back; the second one is asked for afterwards. */
async function startPrivate() {
  const users: Record<string, { password: string }> = { ann: { password: "ann" }, bob: { password: "bob" } };
  const registry = await EmbeddedRegistry.start({ auth: { kind: "basic", users } });
  await push({ url: registry.url, username: "ann", password: "ann" }, "team/thing", artifact(layers), "v1");
  registry.log.clear();
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ path, headers }) =>
    path.endsWith(layers[0]?.digest ?? "") && headers["authorization"] !== undefined
      ? { kind: "hold", afterBytes: 100_000, until: gate.promise }
      : undefined;
  const wanted = attributes(`${registry.host}/team/thing:v1`, { "options.concurrency": "1" });
  return Object.assign(registry, { users, wanted, release: gate.resolve });
}

async function assertRight(targetPath: string): Promise<void> {
  for (const [i, bytes] of contents.entries()) {
    assert.ok((await readFile(join(targetPath, `part-${i}`))).equals(bytes));
  }
}

test("a volume whose credentials are refused fails alone; the pull goes on with another's", REAL, async () => {
  await using registry = await startPrivate();
  await using sandbox = await Sandbox.start();
  const [ann, bob] = ["ann", "bob"].map((name) =>
    sandbox.kubelet.volume({ attributes: registry.wanted, secrets: secretOf(name) }),
  );
  assert.ok(ann && bob);
  const refused = rejectsWith(ann.publish(), "UNAUTHENTICATED", /401 Unauthorized.*the pod's secret/);
  await registry.log.waitFor(({ bytesSent }) => bytesSent === 100_000);
  await rejectsWith(bob.publish({ timeoutMs: 5_000 }), "ABORTED");
  const published = bob.publish();
  delete registry.users["ann"];
  registry.release();
  await refused;
  await published;
  await assertRight(bob.targetPath);
  for (const { digest, bytes } of layers) {
    const sent = registry.log.blobGets(digest).filter(({ status }) => status < 300);
    assert.deepEqual(
      sent.map(({ bytesSent }) => bytesSent),
      [bytes.length],
    );
  }
  await bob.unpublish();
  await assertNothingLeft(sandbox);
});

test("the credentials of a later call take the place of those before", REAL, async () => {
  await using registry = await startPrivate();
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: registry.wanted, secrets: secretOf("ann") });
  await rejectsWith(volume.publish({ timeoutMs: 5_000 }), "ABORTED");
  await registry.log.waitFor(({ bytesSent }) => bytesSent === 100_000);
  registry.users["ann"] = { password: "new" };
  using client = sandbox.driver.connect();
  const request = { ...volume.request(), secrets: secretOf("ann", "new") };
  await rejectsWith(client.publish(request, { timeoutMs: 5_000 }), "ABORTED");
  registry.release();
  await client.publish(request);
  await assertRight(volume.targetPath);
  const authorized = registry.log.blobGets(layers[1]?.digest).flatMap(({ headers }) => headers["authorization"] ?? []);
  const shown = authorized.map((value) => Buffer.from(value.replace("Basic ", ""), "base64").toString());
  assert.deepEqual([...new Set(shown)], ["ann:new"]);
});

test("pulls whose registry wants to be asked later take nobody's place, however many they are", REAL, async () => {
  const count = 40;
  await using busy = await EmbeddedRegistry.start();
  await using healthy = await EmbeddedRegistry.start();
  const reference = await pushThing(healthy, artifact([layers[0] ?? fileLayer("a", "")]));
  const references: string[] = [];
  for (let i = 0; i < count; i++) references.push(await pushThing(busy, artifact([fileLayer("a", `${i}`)]), `v${i}`));
  busy.log.clear();
  busy.fault = ({ path }) =>
    path.includes("/blobs/") ? { kind: "status", status: 429, headers: { "retry-after": "25" } } : undefined;
  await using sandbox = await Sandbox.start({ flags: ["--max-pulls=2"] });
  const failing = references.map((one) => sandbox.kubelet.volume({ attributes: attributes(one) }).publish());
  for (const call of failing) call.catch(() => undefined);
  // All of them have had their turn, and wait.
  const asked = () => new Set(busy.log.blobGets().map(({ path }) => path)).size;
  await busy.log.waitFor(() => asked() === count);
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  assert.equal(busy.log.blobGets().length, count, "the others were to wait longer");
});

test("a registry that wants to be left alone for longer is not waited for: it is told until when", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact(layers));
  const until = new Date(Date.now() + 3_600_000);
  registry.fault = ({ path }) =>
    path.includes("/blobs/")
      ? { kind: "status", status: 503, headers: { "retry-after": until.toUTCString() }, body: "<h1>Busy</h1>" }
      : undefined;
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  const says = /503 Service Unavailable; it asks to be left alone until \d\d:\d\d UTC/;
  const { message } = await rejectsWith(volume.publish(), "UNAVAILABLE", says);
  assert.doesNotMatch(message, /[<>]/);
});

for (const enforce of [true, false]) {
  test(
    `a registry that trickles known bytes holds up nobody who asks another for them (--enforce-namespaces=${enforce})`,
    REAL,
    async () => {
      await using slow = await EmbeddedRegistry.start();
      await using healthy = await EmbeddedRegistry.start();
      const files = [...layers, await folderLayer("folder", { part: contents[0] ?? "" })];
      const [of, from] = [await pushThing(slow, artifact(files)), await pushThing(healthy, artifact(files))];
      const gate = Promise.withResolvers<void>();
      slow.fault = ({ path, method }) =>
        method === "GET" && path.includes("/blobs/")
          ? { kind: "hold", afterBytes: 100_000, until: gate.promise }
          : undefined;
      await using sandbox = await Sandbox.start({ flags: [`--enforce-namespaces=${enforce}`] });
      const held = () => slow.log.blobGets().filter(({ bytesSent }) => bytesSent === 100_000).length;
      const waiting = sandbox.kubelet.volume({ attributes: attributes(of) });
      const published = waiting.publish();
      await slow.log.waitFor(() => held() === files.length);
      const other = sandbox.kubelet.volume({ attributes: attributes(from), namespace: "other" });
      await other.publish();
      await assertRight(other.targetPath);
      gate.resolve();
      await published;
      await assertRight(waiting.targetPath);
      const inodes = [waiting, other].map(({ targetPath }) => statSync(join(targetPath, "part-0")).ino);
      assert.equal(inodes[0], inodes[1], "the bytes are stored once");
      assert.deepEqual(await sandbox.dataNames("ingest"), []);
      for (const volume of [waiting, other]) await volume.unpublish();
      await assertNothingLeft(sandbox);
    },
  );
}
