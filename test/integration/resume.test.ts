import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type KubeletVolume, Sandbox } from "../driver/index.ts";
import {
  artifact,
  type BuiltLayer,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  push,
  type RegistryAuth,
} from "../registry/index.ts";
import { ingestOf, untilOnDisk } from "./partials.ts";
import { assertBlobsWhole, assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "./support.ts";

/** Bytes of all blobs that the registry has sent. */
const sentBytes = (registry: EmbeddedRegistry) =>
  registry.log.blobGets().reduce((sum, { bytesSent }) => sum + bytesSent, 0);

/** Calls with deadlines of 5 s, as often as they are told to come again; how often that was. */
async function publishPatiently(volume: KubeletVolume): Promise<number> {
  for (let calls = 1; ; calls++) {
    try {
      await volume.publish({ timeoutMs: 5_000 });
      return calls;
    } catch (reason) {
      await rejectsWith(Promise.reject(reason), "ABORTED", /pulling .*team\/thing/);
    }
  }
}

const PASSWORD = "pa55";
const auths: readonly { name: string; auth: RegistryAuth; secrets: Record<string, string> }[] = [
  { name: "an open registry", auth: { kind: "none" }, secrets: {} },
  {
    name: "a private registry whose tokens live 5 s",
    auth: { kind: "bearer", users: { ann: { password: PASSWORD } }, tokenLifetimeSeconds: 5 },
    secrets: { username: "ann", password: PASSWORD },
  },
];

test("a pull that outlasts three calls fetches each blob once, byte for byte", REAL, async () => {
  await using sandbox = await Sandbox.start();
  const pullFrom = async ({ name, auth, secrets }: (typeof auths)[number]) => {
    await using registry = await EmbeddedRegistry.start({ auth, bytesPerSecond: 600_000 });
    const contents = [randomBytes(4_500_000), randomBytes(4_500_000)];
    const layers = contents.map((bytes, i) => fileLayer(`part-${i}`, bytes));
    const to = { url: registry.url, username: "ann", password: PASSWORD };
    await push(auth.kind === "none" ? { url: registry.url } : to, "team/thing", artifact(layers), "v1");
    registry.log.clear();
    // One blob after the other: the token of the first is too old for the second.
    const more = { "options.concurrency": "1" };
    const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`, more), secrets });
    const calls = await publishPatiently(volume);
    assert.ok(calls > 3, `${name}: the pull was over after ${calls} calls`);
    for (const [i, { digest, bytes }] of layers.entries()) {
      assert.ok((await readFile(join(volume.targetPath, `part-${i}`))).equals(contents[i] as Buffer), name);
      const sent = registry.log.blobGets(digest).filter(({ status }) => status < 300);
      assert.deepEqual(
        sent.map(({ status, bytesSent }) => [status, bytesSent]),
        [[200, bytes.length]],
        name,
      );
    }
  };
  await Promise.all(auths.map(pullFrom));
});

const HALF = 2_000_000;
const content = randomBytes(2 * HALF);
const makers: readonly { kind: string; file: string; make: () => Promise<BuiltLayer> }[] = [
  { kind: "file", file: "big", make: () => Promise.resolve(fileLayer("big", content)) },
  { kind: "folder", file: "folder/big", make: () => folderLayer("folder", { big: content }) },
];

for (const { kind, file, make } of makers) {
  test(`a ${kind} half pulled is gone on with: after an unpublish, and after kill -9`, REAL, async () => {
    await using registry = await EmbeddedRegistry.start();
    const layer = await make();
    const reference = await pushThing(registry, artifact([layer]));
    const gate = Promise.withResolvers<void>();
    registry.fault = ({ path, method, headers }) => {
      if (method !== "GET" || !path.endsWith(layer.digest)) return undefined;
      return headers["range"]?.startsWith(`bytes=${HALF}-`)
        ? undefined
        : { kind: "hold", afterBytes: HALF / 2, until: gate.promise };
    };
    await using sandbox = await Sandbox.start();
    registry.log.clear();
    const first = sandbox.kubelet.volume({ attributes: attributes(reference) });
    const unpublished = assert.rejects(first.publish());
    await untilOnDisk(ingestOf(sandbox, layer, registry), HALF / 2);
    await first.unpublish();
    await unpublished;
    await registry.log.waitFor(({ finished, path }) => finished && path.endsWith(layer.digest));

    const second = sandbox.kubelet.volume({ attributes: attributes(reference) });
    const killed = assert.rejects(second.publish());
    await untilOnDisk(ingestOf(sandbox, layer, registry), HALF);
    await sandbox.driver.stop("SIGKILL");
    await killed;

    await sandbox.startDriver();
    await second.publish();
    assert.ok((await readFile(join(second.targetPath, file))).equals(content));
    assert.deepEqual(
      registry.log.blobGets(layer.digest).map(({ headers }) => headers["range"]?.split("-")[0]),
      [undefined, `bytes=${HALF / 2}`, `bytes=${HALF}`],
    );
    assert.equal(sentBytes(registry), layer.bytes.length);
    await second.unpublish();
    await assertNothingLeft(sandbox);
    await assertBlobsWhole(sandbox);
    assert.deepEqual(await sandbox.dataNames("ingest"), []);
  });
}

test("a large blob comes in parts, and all of them are gone on with after kill -9", REAL, async () => {
  const size = 72_000_000;
  const large = randomBytes(size);
  const layer = fileLayer("large", large);
  await using registry = await EmbeddedRegistry.start({ bytesPerSecond: 6_000_000 });
  const reference = await pushThing(registry, artifact([layer]));
  registry.log.clear();
  await using sandbox = await Sandbox.start();
  const first = sandbox.kubelet.volume({ attributes: attributes(reference) });
  const killed = assert.rejects(first.publish());
  const map = `${ingestOf(sandbox, layer, registry)}.parts`;
  const partBytes = async (): Promise<number[]> => {
    const { parts = [] } = JSON.parse(await readFile(map, "utf8").catch(() => "{}"));
    return parts.map(([start, end]: [number, number]) => end - start);
  };
  let saved: number[] = [];
  while (saved.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    saved = await partBytes();
  }
  await sandbox.driver.stop("SIGKILL");
  await killed;
  const savedBytes = (await partBytes()).reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(savedBytes < size);

  registry.log.clear();
  await sandbox.startDriver();
  await first.publish();
  assert.ok((await readFile(join(first.targetPath, "large"))).equals(large));
  // What one connection had on its way when others took over is sent twice.
  assert.ok(sentBytes(registry) < size - savedBytes + 4_000_000, `${sentBytes(registry)} sent, ${savedBytes} there`);
});

test("signed URLs that run out in mid-blob: new ones from the registry, on with the same offset", REAL, async () => {
  await using registry = await EmbeddedRegistry.start({ redirectBlobs: true });
  const layer = fileLayer("big", content);
  const reference = await pushThing(registry, artifact([layer]));
  registry.log.clear();
  const signed = () => registry.log.select({ origin: "blobs" });
  const expired = {
    kind: "status",
    status: 403,
    headers: { "content-type": "text/html" },
    body: "<h1>Expired",
  } as const;
  registry.fault = ({ origin }) => {
    if (origin !== "blobs" || signed().length > 3) return undefined;
    return signed().length === 2 ? expired : { kind: "cut", afterBytes: HALF / 2 };
  };
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  assert.ok((await readFile(join(volume.targetPath, "big"))).equals(content));
  assert.deepEqual(
    signed().map(({ status, headers }) => `${status} ${headers["range"]?.split("-")[0]}`),
    ["200 undefined", `403 bytes=${HALF / 2}`, `206 bytes=${HALF / 2}`, `206 bytes=${HALF}`],
  );
  assert.equal(registry.log.blobGets(layer.digest).length, 4, "each time the registry was asked for a URL");
});
