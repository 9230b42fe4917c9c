import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Metrics } from "../src/base/index.ts";

const operations = readFileSync(join(import.meta.dirname, "../docs/operations.md"), "utf8");

/** The rows of the tables of metrics: name, type and labels, explanation. */
function documented(): Map<
  string,
  { readonly type: string; readonly labels: readonly string[]; readonly tells: string }
> {
  const rows = operations.matchAll(/^\| `(oras_csi_\w+)` \| (\w+)(?:; ([^|]*))? \| ([^|]+) \|$/gm);
  return new Map(
    [...rows].map(([, name = "", type = "", labels = "", tells = ""]) => [
      name,
      { type, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = ""]) => label).sort(), tells },
    ]),
  );
}

/** Every metric that a driver can show, with its type and the labels of its series. */
async function shown(): Promise<Map<string, { readonly type: string; readonly labels: readonly string[] }>> {
  const text = await everything().text();
  const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)];
  return new Map(
    types.map(([, name = "", type = ""]) => {
      const series = new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? `, "gm");
      const labels = [...text.matchAll(series)].flatMap(([, list = ""]) =>
        [...list.matchAll(/(\w+)="/g)].map(([, label = ""]) => label),
      );
      return [name, { type, labels: [...new Set(labels)].filter((label) => label !== "le").sort() }];
    }),
  );
}

/** Metrics that were fed all that there is to be fed. */
function everything(): Metrics {
  const metrics = new Metrics({ version: "1", commit: "c", nodeVersion: "26", runtime: "node" });
  metrics.rpcDone({ method: "Probe", code: "OK", seconds: 1 });
  metrics.treeLookedUp(true);
  metrics.hostFailed({ kind: "mirror", result: "corrupt" });
  const pull = metrics.pullQueued();
  pull.started();
  pull.progressed({ fetchedBytes: 1, mirrorBytes: 1, resumedBytes: 1, retries: 1 });
  pull.ended("ok", 1);
  metrics.followVolumes(() => ({ readOnly: 1, writable: 1 }));
  metrics.followRegistration(() => true);
  metrics.treeEvicted("ttl");
  metrics.freed("ttl", { bytes: 1 });
  metrics.followCache(() => ({ uses: { blobs: { bytes: 1, inodes: 1 } }, trees: 1, isFull: false }));
  return metrics;
}

test("docs/operations.md explains every metric, with its type and labels, and no other", async () => {
  const [inDocs, inDriver] = [documented(), await shown()];
  assert.deepEqual([...inDocs.keys()].sort(), [...inDriver.keys()].sort());
  for (const [name, { type, labels }] of inDriver) {
    const row = inDocs.get(name);
    assert.deepEqual({ name, type: row?.type }, { name, type });
    // Pauses and waits of the process may not have happened yet: then their series have no labels to compare.
    if (labels.length > 0) assert.deepEqual({ name, labels: row?.labels }, { name, labels });
    assert.ok((row?.tells.length ?? 0) > 15, `${name} is not explained`);
  }
});

test("no label is one that pods choose", async () => {
  const allowed = ["method", "code", "result", "kind", "reason", "type", "version", "commit", "node_version"];
  const labels = [...(await shown()).values()].flatMap((metric) => metric.labels);
  assert.deepEqual(
    labels.filter((label) => !allowed.includes(label)),
    [],
  );
});
