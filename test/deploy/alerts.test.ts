import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { Metrics } from "../../src/base/index.ts";
import { Sandbox } from "../driver/index.ts";
import { freePort } from "../helpers/free-port.ts";
import { useSmallDisk, whyNoSmallDisk } from "../helpers/small-disk.ts";
import { useTempFolder } from "../helpers/temp-folder.ts";
import { attributes, pushThing, REAL } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";

// The judge is promtool, Prometheus' own: it plays series to the rules and says which alerts fire when.

const ALERTS = join(import.meta.dirname, "../../deploy/monitoring/alerts.yaml");
const isThere = spawnSync("promtool", ["--version"]).status === 0;
const PROMTOOL = { skip: isThere ? false : "promtool is not installed (Debian: prometheus)" };
const SMALL_DISK = { skip: REAL.skip || whyNoSmallDisk() };

interface Row {
  readonly alert: string;
  readonly when: string;
  /** By their names after `oras_csi_`: a value a minute, as promtool writes them ("1x3" is four times 1, "_" is none). */
  readonly series: Readonly<Record<string, string>>;
  /** Minutes in which the alert fires, and others in which it does not. */
  readonly fires: readonly number[];
  readonly quiet: readonly number[];
}

const rows: readonly Row[] = [
  {
    alert: "OrasCsiNotRegistered",
    when: "kubelet does not know the driver for more than five minutes",
    series: { kubelet_registered: "1 0x3 1x4 0x10 1x9" },
    fires: [15, 20],
    quiet: [4, 14, 21],
  },
  {
    alert: "OrasCsiPublishFails",
    when: "there are errors without words",
    series: {
      'rpcs_total{method="NodePublishVolume",code="INTERNAL"}': "3x9 4x40",
      'rpcs_total{method="NodePublishVolume",code="NOT_FOUND"}': "0+5x50",
    },
    fires: [15, 24],
    quiet: [9, 14, 26, 50],
  },
  {
    alert: "OrasCsiPullsFail",
    when: "a registry is down since before the driver began",
    series: { 'pulls_total{result="ok"}': "0x60", 'pulls_total{result="unavailable"}': "_ 1+1x60" },
    fires: [20, 60],
    quiet: [1, 15],
  },
  {
    alert: "OrasCsiPullsFail",
    when: "half of the pulls fail, and no longer than that",
    series: { 'pulls_total{result="ok"}': "0+1x60", 'pulls_total{result="not-found"}': "0+1x60" },
    fires: [],
    quiet: [1, 30, 60],
  },
  {
    alert: "OrasCsiPullsWait",
    when: "pulls wait for half an hour without a pause",
    series: { pulls_waiting: "1x19 0 2x49" },
    fires: [51, 70],
    quiet: [0, 1, 19, 30, 50],
  },
  {
    alert: "OrasCsiCacheFull",
    when: "the cache cannot go below its mark for a quarter of an hour, until it can",
    series: { cache_full: "1x9 0 1x20 0x9" },
    fires: [26, 31],
    quiet: [0, 9, 25, 32],
  },
  {
    alert: "OrasCsiRestarts",
    when: "the driver starts every ten minutes",
    series: { process_start_time_seconds: "1x9 2x9 3x9 4x9 5x9" },
    fires: [40, 49],
    quiet: [0, 30, 39],
  },
  {
    alert: "OrasCsiFilesRunOut",
    when: "nine of ten files are open",
    series: { process_open_fds: "90x20", process_max_fds: "100x20" },
    fires: [10, 20],
    quiet: [0, 9],
  },
];

for (const row of rows) {
  test(`${row.alert} fires while ${row.when}`, PROMTOOL, (t) => {
    assertAlerts(useTempFolder(t), row);
  });
}

test("the first errors of a driver raise alerts", PROMTOOL, async (t) => {
  const metrics = new Metrics({ version: "1", commit: "c", nodeVersion: "26", runtime: "node" });
  const names = {
    OrasCsiPublishFails: 'rpcs_total{method="NodePublishVolume",code="INTERNAL"}',
    OrasCsiPullsFail: 'pulls_total{result="unavailable"}',
  };
  const valuesNow = async () => {
    const text = await metrics.text();
    return Object.values(names).map(
      (name) => new RegExp(`^oras_csi_${RegExp.escape(name)} (\\d+)$`, "m").exec(text)?.[1] ?? "_",
    );
  };
  const before = await valuesNow();
  metrics.rpcDone({ method: "NodePublishVolume", code: "INTERNAL", seconds: 1 });
  for (let pulls = 0; pulls < 4; pulls++) metrics.pullQueued().ended("unavailable", 1);
  const after = await valuesNow();
  for (const [at, [alert, name]] of Object.entries(names).entries()) {
    const series = { [name]: `${before[at]}x9 ${after[at]}x40`, 'pulls_total{result="ok"}': "0x60" };
    assertAlerts(useTempFolder(t), { alert, series, fires: [alert === "OrasCsiPullsFail" ? 30 : 20], quiet: [9] });
  }
});

test("each alert is tried", () => {
  const tried = rows.filter(({ fires }) => fires.length > 0).map(({ alert }) => alert);
  assert.deepEqual([...new Set(tried)].sort(), [...allRules().keys()].sort());
});

test("a driver whose cache is all leased and above its mark shows what its alert watches", SMALL_DISK, async (t) => {
  using disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * 1024 * 1024 });
  await using registry = await EmbeddedRegistry.start();
  const port = await freePort();
  const marks = ["--cache-high-percent=30", "--cache-low-percent=20", "--cache-min-percent=10"];
  const flags = [`--http-endpoint=127.0.0.1:${port}`, ...marks];
  await using sandbox = await Sandbox.start({ dataDir: join(disk.path, "data"), flags });
  const shown = async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return /^oras_csi_cache_full (\d+)$/m.exec(text)?.[1] ?? assert.fail(text);
  };
  const health = async () => {
    using client = sandbox.driver.connect();
    return (await client.storageHealth()).map(({ status, reason }) => `${status} ${reason}`);
  };
  assert.deepEqual([await health(), await shown()], [[], "0"]);
  const manifest = artifact([fileLayer("large", Buffer.alloc(30_000_000, "x"))]);
  const volume = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, manifest)) });
  await volume.publish();
  assert.deepEqual(await health(), ["STORAGE_DEGRADED CacheAboveHighMark"]);
  const value = await shown();
  assert.equal(value, "1");
  if (PROMTOOL.skip !== false) return t.diagnostic(`the alert itself is not tried: ${PROMTOOL.skip}`);
  assertAlerts(useTempFolder(t), {
    alert: "OrasCsiCacheFull",
    series: { cache_full: `${value}x20` },
    fires: [15],
    quiet: [],
  });
});

/** Has promtool say that an alert fires in some minutes, with all that it tells of the node, and not in others. */
function assertAlerts(folder: string, { alert, series, fires, quiet }: Omit<Row, "when">): void {
  const { labels, annotations } = allRules().get(alert) ?? assert.fail(alert);
  const told = Object.entries(annotations).map(([key, text]) => [key, text.replaceAll("{{ $labels.node }}", "n1")]);
  const alarm = { exp_labels: { ...labels, node: "n1" }, exp_annotations: Object.fromEntries(told) };
  const at = (minute: number, expected: readonly object[]) => {
    return { eval_time: `${minute}m`, alertname: alert, exp_alerts: expected };
  };
  const played = {
    interval: "1m",
    input_series: Object.entries(series).map(([name, values]) => ({ series: withNode(name), values })),
    alert_rule_test: [...fires.map((minute) => at(minute, [alarm])), ...quiet.map((minute) => at(minute, []))],
  };
  const file = join(folder, "played.json");
  writeFileSync(file, JSON.stringify({ rule_files: [ALERTS], evaluation_interval: "1m", tests: [played] }));
  const { status, stdout, stderr } = spawnSync("promtool", ["test", "rules", file], { encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
}

function withNode(series: string): string {
  const [, name = "", more = ""] = /^(\w+)(?:\{(.*)\})?$/.exec(series) ?? assert.fail(series);
  return `oras_csi_${name}{${[more, 'node="n1"'].filter(Boolean).join(",")}}`;
}

interface Rule {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

function allRules(): ReadonlyMap<string, Rule> {
  const { groups } = parse(readFileSync(ALERTS, "utf8")) as { readonly groups: readonly { rules: readonly Rule[] }[] };
  return new Map(groups.flatMap(({ rules }) => rules).map((rule) => [rule.alert, rule]));
}
