import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { Metrics } from "../../src/base/index.ts";

const root = join(import.meta.dirname, "../..");
const dashboard = read("deploy/monitoring/dashboard.json");
const alerts = read("deploy/monitoring/alerts.yaml");

test("the dashboard and the alerts ask for metrics that there are", async () => {
  const known = await metricNames();
  const series = new Set(known.flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]));
  for (const name of namesIn(dashboard + alerts)) assert.ok(series.has(name), `there is no metric ${name}`);
});

test("each alert says what happened and what to do", () => {
  const rules = parse(alerts).groups.flatMap((group: { rules: object[] }) => group.rules);
  assert.ok(rules.length > 0);
  for (const { alert, expr, labels, annotations } of rules) {
    assert.match(expr, /oras_csi_/, alert);
    assert.match(labels.severity, /^(critical|warning|info)$/, alert);
    assert.ok(annotations.summary && annotations.description, alert);
  }
});

/** All metrics of a driver, those of its parts included. */
async function metricNames(): Promise<string[]> {
  const metrics = new Metrics({ version: "1", commit: "c", nodeVersion: "26.0.0", runtime: "node" });
  metrics.followVolumes(() => ({ readOnly: 0, writable: 0 }));
  metrics.followRegistration(() => true);
  metrics.followCache(() => ({ uses: {}, trees: 0, isFull: false }));
  return [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name);
}

function namesIn(text: string): Set<string> {
  return new Set(text.match(/\boras_csi_[a-z_]+/g) ?? []);
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
