import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "./metrics.ts";

const build = { version: "1.2.3", commit: "abc", nodeVersion: "26.0.0", runtime: "node" } as const;

/** The value of a series, as the text shows it. */
async function seriesValue(metrics: Metrics, series: string): Promise<number | undefined> {
  const line = (await metrics.text()).split("\n").find((text) => text.startsWith(`oras_csi_${series} `));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

test("calls are counted by method and code, and timed by method", async () => {
  const metrics = new Metrics(build);
  metrics.rpcDone({ method: "Probe", code: "OK", seconds: 0.002 });
  metrics.rpcDone({ method: "Probe", code: "OK", seconds: 4 });
  metrics.rpcDone({ method: "Probe", code: "UNAVAILABLE", seconds: 0 });
  assert.equal(await seriesValue(metrics, 'rpcs_total{method="Probe",code="OK"}'), 2);
  assert.equal(await seriesValue(metrics, 'rpcs_total{method="Probe",code="UNAVAILABLE"}'), 1);
  assert.equal(await seriesValue(metrics, 'rpc_duration_seconds_bucket{le="0.005",method="Probe"}'), 2);
  assert.equal(await seriesValue(metrics, 'rpc_duration_seconds_sum{method="Probe"}'), 4.002);
});

test("a pull is waiting, in progress, then counted by its result", async () => {
  const metrics = new Metrics(build);
  const counts = async () => [
    await seriesValue(metrics, "pulls_waiting"),
    await seriesValue(metrics, "pulls_in_progress"),
    await seriesValue(metrics, 'pulls_total{result="ok"}'),
    await seriesValue(metrics, 'pulls_total{result="cancelled"}'),
  ];
  const first = metrics.pullQueued();
  const second = metrics.pullQueued();
  assert.deepEqual(await counts(), [2, 0, 0, undefined]);
  first.started();
  assert.deepEqual(await counts(), [1, 1, 0, undefined]);
  first.progressed({ fetchedBytes: 700, mirrorBytes: 0, resumedBytes: 50, retries: 0 });
  first.progressed({ fetchedBytes: 0, mirrorBytes: 0, resumedBytes: 0, retries: 2 });
  first.progressed({ fetchedBytes: 300, mirrorBytes: 200, resumedBytes: 0, retries: 0 });
  first.ended("ok", 20);
  second.ended("cancelled", 0);
  assert.deepEqual(await counts(), [0, 0, 1, 1]);
  assert.equal(await seriesValue(metrics, "pulled_bytes_total"), 1000);
  assert.equal(await seriesValue(metrics, "mirror_bytes_total"), 200);
  assert.equal(await seriesValue(metrics, "resumed_bytes_total"), 50);
  assert.equal(await seriesValue(metrics, "pull_retries_total"), 2);
  assert.equal(await seriesValue(metrics, "pull_duration_seconds_count"), 1);
  assert.equal(await seriesValue(metrics, "pull_duration_seconds_sum"), 20);
});

test("hosts that did not serve are counted by kind", async () => {
  const metrics = new Metrics(build);
  for (const result of ["corrupt", "not-found", "corrupt"] as const) metrics.hostFailed({ kind: "mirror", result });
  assert.equal(await seriesValue(metrics, 'host_failures_total{kind="mirror",result="corrupt"}'), 2);
});

test("hits and misses are told apart", async () => {
  const metrics = new Metrics(build);
  for (const found of [true, false, true]) metrics.treeLookedUp(found);
  assert.equal(await seriesValue(metrics, "cache_hits_total"), 2);
  assert.equal(await seriesValue(metrics, "cache_misses_total"), 1);
});

test("volumes and registration are shown as they are when they are asked for, and only once they are followed", async () => {
  const metrics = new Metrics(build);
  assert.doesNotMatch(await metrics.text(), /published_volumes|kubelet_registered/);
  let count = { readOnly: 1, writable: 2 };
  let registered = false;
  metrics.followVolumes(() => count);
  metrics.followRegistration(() => registered);
  assert.equal(await seriesValue(metrics, 'published_volumes{kind="writable"}'), 2);
  assert.equal(await seriesValue(metrics, "kubelet_registered"), 0);
  count = { readOnly: 5, writable: 0 };
  registered = true;
  assert.equal(await seriesValue(metrics, 'published_volumes{kind="read-only"}'), 5);
  assert.equal(await seriesValue(metrics, 'published_volumes{kind="writable"}'), 0);
  assert.equal(await seriesValue(metrics, "kubelet_registered"), 1);
});

test("what the cache holds is shown by kind, what left it by reason", async () => {
  const metrics = new Metrics(build);
  metrics.treeEvicted("ttl");
  metrics.freed("ttl", { bytes: 500 });
  metrics.freed("ttl", { bytes: 70 });
  const uses = { blobs: { bytes: 10, inodes: 1 }, uppers: { bytes: 20, inodes: 2 } };
  metrics.followCache(() => ({ uses, trees: 3, isFull: true }));
  const expected = {
    'cache_evictions_total{reason="ttl"}': 1,
    'cache_evicted_bytes_total{reason="ttl"}': 570,
    'cache_bytes{kind="uppers"}': 20,
    'cache_inodes{kind="blobs"}': 1,
    cache_trees: 3,
    cache_full: 1,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(await seriesValue(metrics, name), value, name);
});

test("all names have the prefix, counters end in total, and two drivers' metrics are apart", async () => {
  const metrics = new Metrics(build);
  metrics.treeLookedUp(true);
  const other = await new Metrics(build).text();
  assert.match(other, /^oras_csi_cache_hits_total 0$/m);
  assert.match(other, /^oras_csi_build_info\{version="1\.2\.3",commit="abc",node_version="26\.0\.0"\} 1$/m);
  assert.match(other, /^oras_csi_process_resident_memory_bytes \d{7,}$/m);
  const types = [...other.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type]) => ({ name, type }));
  assert.ok(types.length > 20);
  for (const { name, type } of types) {
    assert.match(name, /^oras_csi_[a-z_]+$/);
    assert.equal(type === "counter", name.endsWith("_total"), name);
  }
});
