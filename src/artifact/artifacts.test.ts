import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import {
  artifact,
  type BuiltManifest,
  configuredArtifact,
  EmbeddedRegistry,
  type EmbeddedRegistryOptions,
  fileLayer,
  folderLayer,
  image,
  layer,
  push,
} from "../../test/registry/index.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { type Clock, createMemory, systemClock } from "../base/index.ts";
import { Cache } from "../cache/index.ts";
import { parseDigest, parsePlatform, parseReference } from "../oci/index.ts";
import { type ArtifactRequest, Artifacts } from "./artifacts.ts";
import { CredentialFinder } from "./credential-finder.ts";
import { PullWorker } from "./pull-worker-host.ts";

/** The machine's clock, with idle threads ended soon. */
const hasty: Clock = { ...systemClock, after: (delayMs, run) => systemClock.after(Math.min(delayMs, 200), run) };

/** The whole of this folder with real threads, a registry on loopback, and deadlines that a test moves. */
async function use(options: EmbeddedRegistryOptions = {}) {
  const clock = new ManualClock();
  const area = await useCache({ clock });
  const registry = await EmbeddedRegistry.start(options);
  const { cache, log } = area;
  const artifacts = new Artifacts({
    cache,
    worker: new PullWorker(hasty),
    credentials: new CredentialFinder({ dockerConfig: undefined, caFile: undefined, clock: systemClock, log }),
    enforceNamespaces: true,
    maxPulls: 2,
    maxUnpackRatio: 200,
    allowRegistry: [],
    memory: createMemory({ trimMemory: () => Promise.resolve() }),
    clock,
    log,
  });
  const patience = (signal = new AbortController().signal) => {
    return { deadlineMs: clock.monotonicMs() + 100_000, timeoutMs: 100_000, signal };
  };
  const present = (changes: Partial<ArtifactRequest> & { readonly repository?: string } = {}, signal?: AbortSignal) => {
    const { repository = "team/thing", ...rest } = changes;
    const request: ArtifactRequest = {
      volume: "v1",
      namespace: "blue",
      reference: parseReference(`${registry.host}/${repository}:v1`),
      transport: "http",
      selection: { mediaTypes: [], titles: [] },
      platform: parsePlatform("linux/amd64"),
      policy: "IfNotPresent",
      concurrency: 4,
      secrets: {},
      ...rest,
    };
    return artifacts.present(request, patience(signal));
  };
  const pushThing = async (manifest: BuiltManifest, repository = "team/thing") => {
    await push(registry, repository, manifest, "v1");
    registry.log.clear();
  };
  /** What is half-made: in ingest/ and tmp/. */
  const halfMade = async () => {
    await cache.sweeper.idle();
    return ["ingest", "tmp"].flatMap((folder) => readdirSync(join(area.dataDir, folder)));
  };
  return {
    area,
    clock,
    registry,
    artifacts,
    present,
    pushThing,
    halfMade,
    async [Symbol.asyncDispose]() {
      await artifacts.close();
      await registry.close();
      await area[Symbol.asyncDispose]();
    },
  };
}

/** Holds answers whose path ends so, until it is let go. */
function hold({ registry }: Awaited<ReturnType<typeof use>>, part: string, afterBytes: number) {
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ path }) => (path.includes(part) ? { kind: "hold", afterBytes, until: gate.promise } : undefined);
  const held = registry.log.waitFor(({ path, bytesSent }) => path.includes(part) && bytesSent === afterBytes);
  return { held, release: () => gate.resolve() };
}

const turns = async () => {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Calls for a volume, as often as it takes, until the answer near the deadline says this. */
async function wishFor(
  used: Awaited<ReturnType<typeof use>>,
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

/** An artifact whose config names its file. */
function chart(name: string) {
  const config = layer(Buffer.from(JSON.stringify({ name })), "application/vnd.cncf.helm.config.v1+json");
  const content = layer(Buffer.from(name), "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
  return { config, manifest: configuredArtifact(config, [content]) };
}

test("a registry that takes its time over what names files keeps no other pull waiting", async () => {
  await using used = await use();
  const charts = ["one", "two"];
  for (const name of charts) await used.pushThing(chart(name).manifest, `charts/${name}`);
  await used.pushThing(artifact([fileLayer("a", "1")]));
  const gate = Promise.withResolvers<void>();
  used.registry.fault = ({ path }) =>
    /charts.*blobs/.test(path) ? { kind: "hold", afterBytes: 0, until: gate.promise } : undefined;
  const held = charts.map((name) => used.registry.log.waitFor(({ path }) => path.includes(`charts/${name}/blobs`)));
  const waiting = charts.map((name) => used.present({ repository: `charts/${name}`, volume: name }));
  await Promise.all(held);
  assert.equal((await used.present()).bytes, 1);
  gate.resolve();
  for (const [at, tree] of (await Promise.all(waiting)).entries())
    assert.deepEqual(readdirSync(tree.folder), [`${charts[at]}.tgz`]);
});

test("an artifact is pulled once, found from then on, and named for people", async () => {
  await using used = await use();
  await used.pushThing(artifact([fileLayer("a", "1"), await folderLayer("d", { x: "2" })]));
  const tree = await used.present();
  assert.deepEqual([tree.bytes, tree.inodes], [2, 4]);
  assert.equal(readFileSync(join(tree.folder, "d/x"), "utf8"), "2");
  const asked = used.registry.log.entries.length;
  assert.deepEqual(await used.present({ volume: "v2", policy: "Never" }), tree);
  assert.equal(used.registry.log.entries.length, asked);
  const [name] = readdirSync(join(used.area.cache.layout.names, "blue"));
  assert.equal(realpathSync(join(used.area.cache.layout.names, "blue", name ?? "")), realpathSync(tree.folder));
  assert.deepEqual(await used.halfMade(), []);
});

test("a file that is a copy, since its mode is its own, counts with its blob and goes with its tree", async () => {
  await using used = await use();
  const program = layer(Buffer.alloc(40_960, "p"), "x/program", {
    "org.opencontainers.image.title": "run",
    "org.cncf.model.file.metadata+json": '{"mode":493}',
  });
  const again = { ...program, annotations: { ...program.annotations, "org.opencontainers.image.title": "too" } };
  await used.pushThing(artifact([program, again, fileLayer("a", "1")]));
  const { id } = await used.present();
  const { cache, dataDir, log } = used.area;
  const bytes = 2 * 40_960 + 2 * 4096;
  assert.equal((await cache.collector.usage()).blobs.bytes, bytes);
  const next = await Cache.open({ dataDir, syncFileSystem: undefined, clock: systemClock, log });
  assert.equal((await next.collector.usage()).blobs.bytes, bytes, "after a restart, too");
  await next.close();
  const { freed } = await cache.collector.evict(id, "removed");
  assert.equal(freed.bytes, bytes);
  assert.equal((await cache.collector.usage()).blobs.bytes, 0);
});

test("what a pull takes on disk is known without counting", async () => {
  await using used = await use();
  const files = { x: "2", "sub/y": "z".repeat(5000) };
  await used.pushThing(artifact([fileLayer("a", "1"), await folderLayer("d", files)]));
  const { id } = await used.present();
  const { cache } = used.area;
  // The folder's own root, its title's and sub/ beside the two files; the layer's file and the manifest.
  const { layers, blobs } = await cache.collector.usage();
  assert.deepEqual(layers, { bytes: 3 * 4096, inodes: 5 });
  assert.deepEqual(blobs, { bytes: 2 * 4096, inodes: 2 });
  const noted = readdirSync(join(cache.layout.layers, "sha256")).filter((name) => name.endsWith(".use.json"));
  assert.equal(noted.length, 1);
  assert.equal((await cache.collector.evict(id, "removed")).freed.bytes, 5 * 4096);
  assert.deepEqual(
    ["blobs", "layers"].flatMap((name) => readdirSync(join(used.area.dataDir, name, "sha256"))),
    [],
  );
});

test("a filter makes a tree of its own, one that leaves nothing an empty one and a warning", async () => {
  await using used = await use();
  await used.pushThing(artifact([fileLayer("a", "1", "x/one"), fileLayer("b", "2", "x/two")]));
  const all = await used.present();
  const some = await used.present({ selection: { mediaTypes: ["x/two"], titles: [] } });
  const none = await used.present({ selection: { mediaTypes: ["x/none"], titles: [] } });
  assert.deepEqual(
    [all, some, none].map(({ folder }) => readdirSync(folder)),
    [["a", "b"], ["b"], []],
  );
  assert.ok(used.area.lines.some((line) => line.includes("no layer is left")));
  assert.equal(used.registry.log.blobGets().length, 2);
});

describe("a caller whose time is up", () => {
  test("is told how far the pull is, which goes on; the next call joins it", async () => {
    await using used = await use();
    const file = fileLayer("a", randomBytes(1000));
    await used.pushThing(artifact([file]));
    const { held, release } = hold(used, "/blobs/", 400);
    const first = assert.rejects(used.present(), {
      kind: "in-progress",
      message: /^pulling 127\.0\.0\.1:\d+\/team\/thing:v1: /,
    });
    await held;
    used.clock.advance(95_000);
    await first;
    const second = used.present();
    await turns();
    release();
    assert.equal((await second).bytes, 1000);
    assert.equal(used.registry.log.blobGets().length, 1);
  });

  test("while the registry has not answered yet is told so, and the pull begins all the same", async () => {
    await using used = await use();
    await used.pushThing(artifact([fileLayer("a", "1")]));
    const { held, release } = hold(used, "/manifests/", 0);
    const first = assert.rejects(used.present(), {
      kind: "in-progress",
      message: /waiting for the registry's answer$/,
    });
    await held;
    used.clock.advance(95_000);
    await first;
    release();
    await used.registry.log.waitFor(({ path, finished }) => path.includes("/blobs/") && finished);
    assert.equal((await used.present()).bytes, 1);
    assert.equal(used.registry.log.blobGets().length, 1);
    assert.equal(used.registry.log.manifestGets().length, 1);
  });

  test("hears of a try that failed at its own repository only", async () => {
    await using used = await use();
    for (const repository of ["team/sick", "team/well"])
      await used.pushThing(artifact([fileLayer("a", "1")]), repository);
    const gate = Promise.withResolvers<void>();
    used.registry.fault = ({ path }) =>
      path.includes("/sick/") &&
      used.registry.log.manifestGets().filter((one) => one.path.includes("/sick/")).length === 1
        ? { kind: "status", status: 503 }
        : { kind: "hold", afterBytes: 0, until: gate.promise };
    const sick = assert.rejects(used.present({ repository: "team/sick" }), {
      kind: "unavailable",
      message: /team\/sick.*503/,
    });
    const well = assert.rejects(used.present({ repository: "team/well", volume: "v2" }), {
      kind: "in-progress",
      message: /waiting/,
    });
    const asked = (name: string) => used.registry.log.manifestGets().filter(({ path }) => path.includes(name)).length;
    await used.registry.log.waitFor(() => asked("/sick/") === 2 && asked("/well/") === 1);
    used.clock.advance(95_000);
    await Promise.all([sick, well]);
    gate.resolve();
  });
});

test("two calls for a volume at once get the same, though one has it before the other knows what it needs", async () => {
  await using used = await use();
  const { config, manifest } = chart("one");
  await used.pushThing(manifest, "charts/one");
  const gate = Promise.withResolvers<void>();
  let asked = 0;
  used.registry.fault = ({ path }) =>
    path.endsWith(config.digest) && ++asked === 2 ? { kind: "hold", afterBytes: 0, until: gate.promise } : undefined;
  const calls = [1, 2].map(() => used.present({ repository: "charts/one" }));
  const first = await Promise.race(calls);
  gate.resolve();
  assert.deepEqual(await Promise.all(calls), [first, first]);
});

describe("a volume that leaves", () => {
  test("ends the pull that only it wanted, and nothing half-made is left", async () => {
    await using used = await use();
    const file = fileLayer("a", randomBytes(1000));
    await used.pushThing(artifact([file]));
    const { held } = hold(used, "/blobs/", 400);
    const rejected = assert.rejects(used.present(), { kind: "cancelled" });
    await held;
    used.artifacts.leave("v1");
    await rejected;
    await used.registry.log.waitFor(({ path, finished }) => path.includes("/blobs/") && finished);
    used.registry.fault = undefined;
    assert.equal((await used.present()).bytes, 1000);
    assert.deepEqual(await used.halfMade(), []);
  });

  test("before the registry answered starts no pull", async () => {
    await using used = await use();
    await used.pushThing(artifact([fileLayer("a", "1")]));
    const { held, release } = hold(used, "/manifests/", 0);
    const caller = new AbortController();
    const rejected = assert.rejects(used.present({}, caller.signal), { kind: "cancelled" });
    await held;
    used.artifacts.leave("v1");
    caller.abort();
    await rejected;
    release();
    await used.registry.log.waitFor(({ path, finished }) => path.includes("/manifests/") && finished);
    assert.equal((await used.present({ volume: "v2" })).bytes, 1);
    assert.ok(!used.area.lines.some((line) => line.includes("pull cancelled")));
    assert.equal(used.area.lines.filter((line) => line.includes("pull started")).length, 1);
  });

  test("does not disturb another one that wants the same", async () => {
    await using used = await use();
    await used.pushThing(artifact([fileLayer("a", randomBytes(1000))]));
    const { held, release } = hold(used, "/blobs/", 400);
    const leaving = used.present();
    const staying = used.present({ volume: "v2" });
    await held;
    await turns();
    used.artifacts.leave("v1");
    release();
    assert.deepEqual(await staying, await leaving);
  });
});

describe("failures", () => {
  test("what names files is refused to one volume of a pull: it fails alone, and its namespace is the one that loses", async () => {
    await using used = await use({ bytesPerSecond: 2000 });
    const { registry, area } = used;
    const { config, manifest } = chart("one");
    await used.pushThing(manifest, "charts/one");
    for (const name of ["1", "2"])
      await used.pushThing(artifact([fileLayer("a", randomBytes(100_000))]), `busy/${name}`);
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
    await using used = await use();
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
    await using used = await use();
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
    await using used = await use();
    const secrets = { ".dockerconfigjson": "{not json: hunter2" };
    await assert.rejects(used.present({ secrets }), (error: Error & { kind?: string }) => {
      assert.equal(error.kind, "bad-input");
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
    assert.equal(used.registry.log.entries.length, 0);
  });

  test("Never does not fetch blobs that are missing", async () => {
    await using used = await use();
    const file = fileLayer("a", "1", "x/one");
    await used.pushThing(artifact([file, fileLayer("b", "2", "x/two")]));
    await used.present({ selection: { mediaTypes: ["x/two"], titles: [] } });
    await assert.rejects(used.present({ policy: "Never" }), { kind: "not-found", message: new RegExp(file.digest) });
    assert.equal(used.registry.log.blobGets().length, 1);
  });
});

test("one tree from two repositories at once is made once: what a volume shows is never replaced", async () => {
  await using used = await use();
  const manifest = artifact([fileLayer("a", randomBytes(100_000))]);
  const repositories = ["team/one", "team/two"];
  for (const repository of repositories) await used.pushThing(manifest, repository);
  const pulls = repositories.map((repository) => used.present({ repository, volume: repository }));
  const [first, second] = await Promise.all(pulls);
  assert.ok(first !== undefined);
  assert.equal(first.folder, second?.folder);
  const inode = statSync(first.folder).ino;
  assert.equal(used.registry.log.blobGets().length, 2, "each repository proves that it has the bytes");
  await used.present({ repository: "team/two", volume: "v3" });
  assert.equal(statSync(first.folder).ino, inode);
  assert.deepEqual(await used.halfMade(), []);
});

test("a pull that waits for its turn holds no manifest, and says so if the cache has lost it meanwhile", async () => {
  await using used = await use();
  const manifests = ["one", "two", "three"].map((name) => artifact([fileLayer("a", name)]));
  for (const [i, manifest] of manifests.entries()) await used.pushThing(manifest, `team/${i}`);
  const { release } = hold(used, "/blobs/", 1);
  const pull = (i: number) => used.present({ volume: `v${i}`, repository: `team/${i}` });
  const running = [pull(0), pull(1)];
  await used.registry.log.waitFor(({ path, bytesSent }) => path.includes("team/0/blobs") && bytesSent === 1);
  await used.registry.log.waitFor(({ path, bytesSent }) => path.includes("team/1/blobs") && bytesSent === 1);
  const waiting = assert.rejects(pull(2), { kind: "unavailable", message: /team\/2:v1: its manifest .* went from/ });
  while (!used.area.lines.some((line) => /"pull started".*team\/2|team\/2.*"pull started"/.test(line))) await turns();
  rmSync(used.area.cache.layout.blob(parseDigest(manifests[2]?.digest ?? "")));
  release();
  await waiting;
  await Promise.all(running);
  assert.equal(readFileSync(join((await pull(2)).folder, "a"), "utf8"), "three");
});

test("closing ends what is under way", async () => {
  const used = await use();
  await used.pushThing(artifact([fileLayer("a", randomBytes(1000))]));
  const { held } = hold(used, "/blobs/", 400);
  const rejected = assert.rejects(used.present(), { kind: "cancelled" });
  await held;
  await used[Symbol.asyncDispose]();
  await rejected;
});
