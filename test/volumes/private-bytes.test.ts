import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Driver, Sandbox } from "../driver/index.ts";
import { attributes, REAL, rejectsWith, textFiles } from "../integration/support.ts";
import {
  artifact,
  type BuiltManifest,
  createCertificates,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  type RegistryUser,
} from "../registry/index.ts";
import { startTwoFaced } from "./two-faced-registry.ts";

const ann = { username: "ann", password: "ann's" };
const bob = { username: "bob", password: "bob's" };
const PRIVATE = { a: "private a\n", "folder/b": "private b\n" };

describe("bytes are shared, access is not", REAL, () => {
  let sandbox: Sandbox;
  let driver: Driver;
  let thing: BuiltManifest;

  before(async () => {
    thing = artifact([fileLayer("a", PRIVATE.a), await folderLayer("folder", { b: PRIVATE["folder/b"] })]);
    sandbox = await Sandbox.create();
    driver = await sandbox.startDriver();
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
  });

  /** A registry that lets ann and bob in, and nobody else; ann alone may read team/thing. */
  async function startPrivate(): Promise<{ registry: EmbeddedRegistry; users: Record<string, RegistryUser> }> {
    const users: Record<string, RegistryUser> = {
      ann: { password: ann.password },
      bob: { password: bob.password, pull: ["team/other"] },
    };
    const registry = await EmbeddedRegistry.start({ auth: { kind: "basic", users } });
    fill(registry, thing);
    return { registry, users };
  }

  const volume = (registry: { host: string }, namespace: string, more: Record<string, unknown> = {}) => {
    const { secrets, policy, ...options } = more as { secrets?: typeof ann; policy?: string };
    const asked = attributes(`${registry.host}/team/thing:v1`, {
      ...(policy === undefined ? {} : { "options.pullpolicy": policy }),
      ...options,
    });
    return sandbox.kubelet.volume({ attributes: asked, namespace, ...(secrets === undefined ? {} : { secrets }) });
  };

  const restart = async (flags: readonly string[] = []) => {
    await driver.stop("SIGKILL");
    driver = await sandbox.startDriver(flags);
  };

  test("another namespace has to be let in itself; with Never it has nothing; both are kept across restarts", async () => {
    const { registry } = await startPrivate();
    await using _ = registry;
    await volume(registry, "one", { secrets: ann }).publish();
    assert.equal(registry.log.blobGets().length, 2);
    for (const round of ["before", "after"]) {
      registry.log.clear();
      await volume(registry, "one").publish();
      assert.deepEqual(registry.log.entries, [], `${round} the restart, who was let in is served`);
      await rejectsWith(volume(registry, "two").publish(), "UNAUTHENTICATED", /team\/thing/);
      await rejectsWith(volume(registry, "two", { secrets: bob }).publish(), "PERMISSION_DENIED");
      await rejectsWith(volume(registry, "two", { policy: "Never" }).publish(), "NOT_FOUND");
      if (round === "before") await restart();
    }
    registry.log.clear();
    await volume(registry, "two", { secrets: ann }).publish();
    assert.equal(registry.log.blobGets().length, 0, "the bytes are shared");
    await volume(registry, "two", { policy: "Never" }).publish();
  });

  test("the same digests in a repository that lacks the bytes give nothing", async () => {
    const { registry } = await startPrivate();
    await using _ = registry;
    await using thief = await EmbeddedRegistry.start();
    await volume(registry, "victim", { secrets: ann }).publish();
    const manifest = { mediaType: thing.mediaType, bytes: thing.bytes };
    thief.content.putManifest("team/thing", "v1", manifest);
    // HEAD says yes to everything.
    thief.fault = ({ method, path }) =>
      method === "HEAD" && path.includes("/blobs/") ? { kind: "status", status: 200 } : undefined;
    for (const policy of ["IfNotPresent", "Always"]) {
      await rejectsWith(volume(thief, "thief", { policy }).publish(), "NOT_FOUND");
    }
    await rejectsWith(volume(thief, "thief", { policy: "Never" }).publish(), "NOT_FOUND");
    for (const { digest, bytes } of thing.blobs)
      thief.content.putBlob("team/thing", digest, Buffer.alloc(bytes.length));
    await rejectsWith(volume(thief, "thief").publish(), "DATA_LOSS");
    assert.ok(thief.log.blobGets().length > 0, "it was asked for the bytes");
    await volume(registry, "victim").publish();
  });

  test("bytes that the cache has are fetched from another repository for proof, once, and kept once", async () => {
    const { registry } = await startPrivate();
    await using _ = registry;
    await using twin = await EmbeddedRegistry.start();
    fill(twin, thing);
    await volume(registry, "one", { secrets: ann }).publish();
    const stored = await inodes(sandbox, thing);
    const second = volume(twin, "two");
    await second.publish();
    assert.deepEqual(await textFiles(second.targetPath), PRIVATE);
    assert.equal(twin.log.blobGets().length, 2, "the repository had to show that it has the bytes");
    assert.deepEqual(await inodes(sandbox, thing), stored, "no copy is kept");
    await restart();
    twin.log.clear();
    await volume(twin, "two").publish();
    await volume(twin, "three").publish();
    assert.equal(twin.log.blobGets().length, 0, "what was once proven is proven");
    assert.deepEqual(await sandbox.dataNames("ingest"), []);
  });

  test("a proof that is cut off half-way is none", async () => {
    const { registry } = await startPrivate();
    await using _ = registry;
    await using half = await EmbeddedRegistry.start();
    fill(half, thing);
    await volume(registry, "one", { secrets: ann }).publish();
    half.fault = ({ path }) => (path.includes("/blobs/") ? { kind: "cut", afterBytes: 0 } : undefined);
    const cut = volume(half, "two");
    await rejectsWith(cut.publish({ timeoutMs: 6_000 }), "UNAVAILABLE");
    await rejectsWith(volume(half, "two", { policy: "Never" }).publish(), "NOT_FOUND");
    await cut.unpublish();
    half.fault = undefined;
    half.log.clear();
    await volume(half, "two").publish();
    assert.equal(half.log.blobGets().length, 2);
  });

  for (const policy of ["Always", "IfNotPresent"]) {
    test(`a refusal takes the permission away, for good: ${policy}`, async () => {
      const { registry, users } = await startPrivate();
      await using _ = registry;
      await volume(registry, "one", { secrets: ann }).publish();
      await volume(registry, "two", { secrets: ann }).publish();
      users.ann = { password: "changed" };
      if (policy === "IfNotPresent") {
        // A layer is asked for only when it is missing: the refusal comes at a blob.
        const [layer] = thing.blobs.slice(1);
        await rm(join(sandbox.dataDir, "blobs/sha256", layer?.digest.slice("sha256:".length) ?? ""));
        for (const name of await sandbox.dataNames("trees")) {
          if (name.endsWith(".json")) await rm(join(sandbox.dataDir, "trees", name));
        }
      }
      await rejectsWith(volume(registry, "one", { secrets: ann, policy }).publish(), "UNAUTHENTICATED");
      users.ann = { password: ann.password };
      await volume(registry, "two", { secrets: ann }).publish();
      for (const round of ["before", "after"]) {
        await rejectsWith(volume(registry, "one", { policy: "Never" }).publish(), "NOT_FOUND", /for namespace one/);
        await rejectsWith(volume(registry, "one").publish(), "UNAUTHENTICATED");
        await volume(registry, "two").publish();
        if (round === "before") await restart();
      }
      await volume(registry, "one", { secrets: ann }).publish();
      await volume(registry, "one", { policy: "Never" }).publish();
    });
  }

  test("without --enforce-namespaces what the node has is anybody's, over the same transport", async () => {
    const { registry } = await startPrivate();
    await using _ = registry;
    await using twin = await EmbeddedRegistry.start();
    twin.content.putManifest("team/thing", "v1", thing);
    await restart(["--enforce-namespaces=false"]);
    await volume(registry, "one", { secrets: ann }).publish();
    registry.log.clear();
    await volume(registry, "two").publish();
    await volume(registry, "two", { policy: "Never" }).publish();
    assert.deepEqual(registry.log.entries, []);
    const part = { "artifact.layers.title": "a" };
    await volume(twin, "two").publish();
    await volume(twin, "two", part).publish();
    assert.equal(twin.log.blobGets().length, 0);
    const over = { "options.plainhttp": "false" };
    await rejectsWith(volume(registry, "two", { policy: "Never", ...over }).publish(), "NOT_FOUND");
    await restart();
    await rejectsWith(volume(registry, "two", { policy: "Never" }).publish(), "NOT_FOUND");
    // What nobody asked for then is asked for now: the twin has not given these bytes, and has none.
    for (const more of [{}, part]) await rejectsWith(volume(twin, "two", more).publish(), "NOT_FOUND", /blob/);
  });

  test("a pod's uid must be that of the target", async () => {
    await using registry = await EmbeddedRegistry.start();
    fill(registry, thing);
    using client = driver.connect();
    const one = volume(registry, "default");
    await one.prepareFolder();
    const { volumeContext, ...request } = one.request();
    const uid = "csi.storage.k8s.io/pod.uid";
    for (const other of ["", "someone-else", one.podUid.toUpperCase()]) {
      const context = { ...volumeContext, [uid]: other };
      await rejectsWith(client.publish({ ...request, volumeContext: context }), "INVALID_ARGUMENT", /pod\.uid/);
    }
    assert.deepEqual(registry.log.entries, []);
    await client.publish({ ...request, volumeContext });
    await one.unpublish();
  });

  const noOpenssl = spawnSync("openssl", ["version"]).error === undefined ? false : "openssl is not installed";
  test("what is learned over one transport counts for no other", { skip: noOpenssl }, async () => {
    const tls = await createCertificates();
    await using registry = await startTwoFaced(tls);
    for (const face of [registry.http, registry.https]) fill(face, thing);
    const file = join(sandbox.folder, "ca.pem");
    await writeFile(file, tls.ca);
    await restart([`--ca-file=${file}`]);
    const transports = {
      http: { "options.plainhttp": "true" },
      insecure: { "options.plainhttp": "false", "options.insecure": "true" },
      https: { "options.plainhttp": "false" },
    };
    const inodesAfter: unknown[] = [];
    for (const [name, how] of Object.entries(transports)) {
      await rejectsWith(volume(registry, "one", { policy: "Never", ...how }).publish(), "NOT_FOUND");
      const face = name === "http" ? registry.http : registry.https;
      face.log.clear();
      await volume(registry, "one", how).publish();
      assert.deepEqual([face.log.manifestGets().length, face.log.blobGets().length], [1, 2], name);
      await volume(registry, "one", { policy: "Never", ...how }).publish();
      inodesAfter.push(await inodes(sandbox, thing));
    }
    assert.deepEqual(inodesAfter[1], inodesAfter[0]);
    assert.deepEqual(inodesAfter[2], inodesAfter[0]);
    // A refusal over one of them says nothing of the others.
    registry.http.fault = () => ({ kind: "status", status: 403 });
    await rejectsWith(volume(registry, "one", { policy: "Always", ...transports.http }).publish(), "PERMISSION_DENIED");
    await rejectsWith(volume(registry, "one", { policy: "Never", ...transports.http }).publish(), "NOT_FOUND");
    await volume(registry, "one", { policy: "Never", ...transports.https }).publish();
  });
});

/** Puts team/thing:v1 into a registry past its doorkeeper. */
function fill(registry: EmbeddedRegistry, manifest: BuiltManifest): void {
  for (const { digest, bytes } of manifest.blobs) registry.content.putBlob("team/thing", digest, bytes);
  registry.content.putManifest("team/thing", "v1", manifest);
}

/** Each file and folder of blobs, layers and trees in the cache, with its inode; manifest and records may be written again. */
async function inodes(sandbox: Sandbox, manifest: BuiltManifest): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const folder of ["blobs", "layers", "trees"]) {
    for (const entry of await readdir(join(sandbox.dataDir, folder), { recursive: true, withFileTypes: true })) {
      if (manifest.digest.endsWith(entry.name) || entry.name.endsWith(".json")) continue;
      const path = join(entry.parentPath, entry.name);
      found[path] = (await stat(path)).ino;
    }
  }
  return found;
}
