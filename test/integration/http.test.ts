import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { CacheCommand } from "../cache-command/support.ts";
import { setTimeout as delay } from "node:timers/promises";
import { askLikeLivenessProbe, PluginManager, Sandbox } from "../driver/index.ts";
import { freePort } from "../helpers/free-port.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";
import { ingestOf, untilOnDisk } from "./partials.ts";
import { attributes, pushThing, REAL, rejectsWith } from "./support.ts";

/** What a check says that was not answered in time. */
const LATE = /no answer within 3 s$|deadline.?exceeded|operation timed out/i;

async function get(port: number, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, text: await response.text() };
}

/** Asks until the answer has this status: probes do the same. */
async function untilStatus(port: number, path: string, status: number): Promise<string> {
  for (;;) {
    const answer = await get(port, path).catch(() => undefined);
    if (answer?.status === status) return answer.text;
    await delay(20);
  }
}

/** Asks until all is well; nothing else may be wrong than that a busy machine did not answer in time. */
async function okOrLate(port: number, path: string): Promise<void> {
  for (;;) {
    const { status, text } = await get(port, path);
    if (status === 200) return;
    for (const problem of text.split("; ")) assert.match(problem, LATE);
    await delay(20);
  }
}

/** The value of a series in /metrics; undefined if it is not there. */
async function metric(port: number, series: string): Promise<number | undefined> {
  const { text } = await get(port, "/metrics");
  const line = text.split("\n").find((each) => each.startsWith(`oras_csi_${series} `));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

/** A node whose kubelet watches its plugins_registry, and the flags of a driver there. */
async function useNode() {
  const sandbox = await Sandbox.create();
  const registry = join(sandbox.kubeletFolder, "plugins_registry");
  await mkdir(registry, { recursive: true });
  const plugins = new PluginManager(registry);
  const port = await freePort();
  return {
    sandbox,
    plugins,
    port,
    registrationSocket: join(registry, "csi.oras.land-reg.sock"),
    httpFlags: [`--http-endpoint=127.0.0.1:${port}`, `--kubelet-dir=${sandbox.kubeletFolder}`],
    registrationFlags: [`--registration-dir=${registry}`, `--kubelet-registration-path=${sandbox.socketPath}`],
    async [Symbol.asyncDispose]() {
      plugins[Symbol.dispose]();
      await sandbox[Symbol.asyncDispose]();
    },
  };
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

test("healthy at once, ready once kubelet has registered the driver", REAL, async () => {
  await using node = await useNode();
  const { sandbox, plugins, port } = node;
  const driver = await sandbox.startDriver([...node.httpFlags, ...node.registrationFlags]);
  assert.deepEqual(await get(port, "/healthz"), { status: 200, text: "ok" });
  const early = await get(port, "/readyz");
  assert.equal(early.status, 500);
  assert.match(early.text, /^kubelet has not registered the driver: [^\n]*$/);
  await plugins.register(node.registrationSocket);
  assert.deepEqual(await get(port, "/readyz"), { status: 200, text: "ok" });
  assert.equal(await metric(port, "kubelet_registered"), 1);
  await plugins.notify(node.registrationSocket, { pluginRegistered: false, error: "test" });
  assert.equal((await get(port, "/readyz")).status, 500);
  assert.equal((await get(port, "/healthz")).status, 200);
  assert.equal((await driver.stop()).code, 0);
});

test("a wiped plugins folder is not healthy: kubelet is to start the driver anew", REAL, async () => {
  await using node = await useNode();
  const { sandbox, port } = node;
  const driver = await sandbox.startDriver([...node.httpFlags, ...node.registrationFlags]);
  await rm(sandbox.socketPath);
  const { status, text } = await get(port, "/healthz");
  assert.equal(status, 500);
  assert.match(text, /^the CSI socket \S+ was deleted or replaced by another process$/);
  assert.equal((await get(port, "/readyz")).status, 500);
  assert.equal((await askLikeLivenessProbe(sandbox.socketPath)).status, 500);
  assert.equal((await driver.stop()).code, 0);

  await sandbox.startDriver([...node.httpFlags, ...node.registrationFlags]);
  assert.equal(await untilStatus(port, "/healthz", 200), "ok");
  await rm(node.registrationSocket);
  assert.match(await untilStatus(port, "/healthz", 500), /^the registration socket/);
});

test("a registry that is down concerns neither health nor readiness", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  await registry.close();
  await using node = await useNode();
  await node.sandbox.startDriver(node.httpFlags);
  const volume = node.sandbox.kubelet.volume({ attributes: attributes(reference) });
  const refused = rejectsWith(volume.publish({ timeoutMs: 5000 }), "UNAVAILABLE");
  await Promise.all([refused, okOrLate(node.port, "/healthz"), okOrLate(node.port, "/readyz")]);
});

test("metrics tell of pulls, hits, volumes and calls, and name no artifact and no namespace", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const content = randomBytes(3_000_000);
  const reference = await pushThing(registry, artifact([fileLayer("a", content), fileLayer("b", "b\n")]));
  await using node = await useNode();
  const { sandbox, port } = node;
  await sandbox.startDriver(node.httpFlags);
  const spec = { attributes: attributes(reference), namespace: "team-ns" };
  const volumes = [true, true, false].map((readOnly) => sandbox.kubelet.volume({ ...spec, readOnly }));
  for (const volume of volumes) await volume.publish();
  const failing = sandbox.kubelet.volume({ ...spec, attributes: attributes(`${registry.host}/team/thing:none`) });
  await rejectsWith(failing.publish(), "NOT_FOUND");

  assert.equal(await metric(port, "pulled_bytes_total"), content.length + 2);
  assert.equal(await metric(port, 'pulls_total{result="ok"}'), 1);
  assert.equal(await metric(port, "pulls_in_progress"), 0);
  assert.equal(await metric(port, "pulls_waiting"), 0);
  assert.equal(await metric(port, "pull_duration_seconds_count"), 1);
  assert.equal(await metric(port, "cache_misses_total"), 1);
  assert.equal(await metric(port, "cache_hits_total"), 2);
  assert.equal(await metric(port, 'published_volumes{kind="read-only"}'), 2);
  assert.equal(await metric(port, 'published_volumes{kind="writable"}'), 1);
  assert.equal(await metric(port, 'rpcs_total{method="NodePublishVolume",code="OK"}'), 3);
  assert.equal(await metric(port, 'rpcs_total{method="NodePublishVolume",code="NOT_FOUND"}'), 1);
  const { text } = await get(port, "/metrics");
  const series = text.split("\n").filter((line) => !line.startsWith("#"));
  assert.doesNotMatch(series.join("\n"), /team|thing|127\.0\.0\.1|sha256/);
  for (const volume of volumes) await volume.unpublish();
  assert.equal(await metric(port, 'published_volumes{kind="writable"}'), 0);

  assert.equal((await new CacheCommand(sandbox.dataDir).json("prune")).trees, 1);
  assert.equal(await metric(port, 'cache_evictions_total{reason="prune"}'), 1);
  const freed = (await metric(port, 'cache_evicted_bytes_total{reason="prune"}')) ?? 0;
  assert.ok(freed >= content.length && freed < content.length + 50_000, String(freed));
  assert.equal(await metric(port, "cache_trees"), 0);
});

test("metrics tell what was gone on with, what was tried again, and what hosts did not serve", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using mirror = await EmbeddedRegistry.start();
  const [half, content, other] = [1_500_000, randomBytes(3_000_000), randomBytes(10_000)];
  const layers = [fileLayer("a", content), fileLayer("b", other)];
  for (const one of [registry, mirror]) await pushThing(one, artifact(layers));
  await using node = await useNode();
  const { sandbox, port } = node;
  const hosts = join(sandbox.folder, "hosts", registry.host.replace(":", "_").concat("_"));
  await mkdir(hosts, { recursive: true });
  await writeFile(join(hosts, "hosts.toml"), `server = "${registry.url}"\n[host."${mirror.url}"]\n`);
  await sandbox.startDriver([...node.httpFlags, `--registry-hosts-dir=${join(sandbox.folder, "hosts")}`]);
  const volume = () =>
    sandbox.kubelet.volume({
      attributes: attributes(`${registry.host}/team/thing:v1`, { "options.concurrency": "1" }),
    });

  mirror.fault = ({ method, path }) =>
    method === "GET" && path.endsWith(layers[0]?.digest ?? "")
      ? { kind: "hold", afterBytes: half, until: new Promise<void>(() => undefined) }
      : undefined;
  const first = volume();
  const left = assert.rejects(first.publish());
  await untilOnDisk(ingestOf(sandbox, layers[0] ?? assert.fail(), registry), half);
  await first.unpublish();
  await left;

  let failed = 0;
  mirror.fault = ({ path }) => {
    if (path.endsWith(layers[0]?.digest ?? "")) return failed++ === 0 ? { kind: "status", status: 503 } : undefined;
    return path.endsWith(layers[1]?.digest ?? "") ? { kind: "status", status: 404 } : undefined;
  };
  await volume().publish();
  assert.equal(await metric(port, "resumed_bytes_total"), half);
  assert.equal(await metric(port, "pull_retries_total"), 1);
  assert.equal(await metric(port, "pulled_bytes_total"), content.length + other.length);
  assert.equal(await metric(port, "mirror_bytes_total"), content.length);
  assert.equal(await metric(port, 'host_failures_total{kind="mirror",result="not-found"}'), 1);
});

test("a taken port stops nothing, and is taken when it is free", REAL, async () => {
  await using node = await useNode();
  const { sandbox, port } = node;
  const other = createServer().listen(port, "127.0.0.1");
  await once(other, "listening");
  const driver = await sandbox.startDriver([...node.httpFlags, ...node.registrationFlags]);
  await node.plugins.register(node.registrationSocket);
  await driver.said(/cannot serve health and metrics, trying again/);
  other.close();
  assert.equal(await untilStatus(port, "/readyz", 200), "ok");
});

test("mounts that would not reach the host: healthy, not ready", REAL, async () => {
  await using node = await useNode();
  const { sandbox, port } = node;
  const pods = join(sandbox.kubeletFolder, "pods");
  await mkdir(pods);
  run("mount", "--bind", pods, pods);
  run("mount", "--make-private", pods);
  await sandbox.startDriver(node.httpFlags);
  const { status, text } = await get(port, "/readyz");
  assert.equal(status, 500);
  assert.ok(text.startsWith(`mounts below ${pods} do not reach the host`), text);
  assert.equal((await get(port, "/healthz")).status, 200);
  run("mount", "--make-shared", pods);
  assert.equal((await get(port, "/readyz")).status, 200);
});

test("a data dir that takes no data: healthy, not ready", REAL, async () => {
  await using node = await useNode();
  const { sandbox, port } = node;
  await mkdir(sandbox.dataDir);
  run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", sandbox.dataDir);
  await sandbox.startDriver(node.httpFlags);
  assert.equal((await get(port, "/readyz")).status, 200);
  const filler = join(sandbox.dataDir, "filler");
  await assert.rejects(writeFile(filler, Buffer.alloc(2_000_000)), { code: "ENOSPC" });
  const { status, text } = await get(port, "/readyz");
  assert.equal(status, 500);
  assert.match(text, /the data dir \S+ is full/);
  assert.equal((await get(port, "/healthz")).status, 200);
  await rm(filler);
  assert.equal((await get(port, "/readyz")).status, 200);
});
