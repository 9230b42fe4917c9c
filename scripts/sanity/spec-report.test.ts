import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { missingSpecs, readSpecs } from "./spec-report.ts";

const wanted = { of: /^(?:Identity|Node) /, unless: /^Node Stage/, count: 2 };

test("each wanted spec has to pass in one run", () => {
  const first = { "Identity a": "passed", "Node b": "skipped", "Node Stage c": "skipped", "Controller d": "skipped" };
  const second = { "Identity a": "skipped", "Node b": "passed" };
  assert.deepEqual(missing(first, second), []);
  assert.deepEqual(missing(first), ["Node b (skipped)"]);
  assert.deepEqual(missing(first, { "Node b": "failed" }), ["Node b (skipped, failed)"]);
});

test("a run in which hardly any spec is known is not enough", () => {
  assert.deepEqual(missing({ "Identity a": "passed" }), ["there are 1 specs instead of 2"]);
  assert.deepEqual(missing(), ["there are 0 specs instead of 2"]);
});

test("specs are read from Ginkgo's report, its set-up nodes left out", (t) => {
  const file = join(useTempFolder(t), "report.json");
  const spec = (LeafNodeType: string, texts: string[] | null, LeafNodeText: string, State: string) => ({
    ...{ LeafNodeType, ContainerHierarchyTexts: texts, LeafNodeText, State },
  });
  const specs = [spec("It", ["Node", "Publish"], "works", "passed"), spec("BeforeSuite", null, "", "passed")];
  writeFileSync(file, JSON.stringify([{ SpecReports: specs }]));
  assert.deepEqual([...readSpecs(file)], [["Node Publish works", "passed"]]);
  writeFileSync(file, "[]");
  assert.deepEqual([...readSpecs(file)], []);
});

function missing(...runs: Record<string, string>[]): string[] {
  return missingSpecs(
    runs.map((run) => new Map(Object.entries(run))),
    wanted,
  );
}
