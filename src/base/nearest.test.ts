import assert from "node:assert/strict";
import { test } from "node:test";
import { nearestName } from "./nearest.ts";

const names = ["csi-endpoint", "concurrency", "mode", "max-pulls", "log-level", "log-format"];

const rows: [text: string, nearest: string | undefined][] = [
  ["concurency", "concurrency"],
  ["Concurrency", "concurrency"],
  ["csi-endpont", "csi-endpoint"],
  ["csi_endpoint", "csi-endpoint"],
  ["endpoint", undefined],
  ["mod", "mode"],
  ["moed", undefined],
  ["loglevel", "log-level"],
  ["max-pull", "max-pulls"],
  ["csi", "csi-endpoint"],
  ["MAX", "max-pulls"],
  ["log", undefined],
  ["kubeconfig", undefined],
  ["", undefined],
  ["z".repeat(100_000), undefined],
];

for (const [text, nearest] of rows) {
  test(`nearest to ${JSON.stringify(text.slice(0, 20))} is ${nearest}`, () => {
    assert.equal(nearestName(text, names), nearest);
  });
}
