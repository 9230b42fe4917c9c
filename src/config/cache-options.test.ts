import assert from "node:assert/strict";
import { test } from "node:test";
import { cacheListOptions, cacheOptions, cachePruneOptions, parseCacheCommand } from "./cache-options.ts";
import { UsageError } from "./usage-error.ts";

const input = (argv: readonly string[], env: Record<string, string> = {}) => ({ argv, env, cwd: "/home/me" });

test("without flags: the usual data dir, text", () => {
  const { values } = parseCacheCommand(cacheListOptions, input([]), "no trees");
  assert.deepEqual(values, { dataDir: "/var/lib/oras-csi", json: false, volumes: false });
});

test("the data dir comes from the flag, else from the environment, relative to the working directory", () => {
  const env = { ORAS_CSI_DATA_DIR: "from-environment", ORAS_CSI_ALL: "true", ORAS_CSI_JSON: "true" };
  const parse = (...argv: string[]) => parseCacheCommand(cachePruneOptions, input(argv, env), "no trees").values;
  assert.deepEqual(parse(), { dataDir: "/home/me/from-environment", json: false, all: false, olderThan: undefined });
  assert.equal(parse("--data-dir=/other").dataDir, "/other");
  assert.equal(parse("--older-than", "72h", "--all").olderThan, 72 * 3_600_000);
});

test("trees are named where they are wanted", () => {
  const { words } = parseCacheCommand(cacheOptions, input(["a", "--json", "b"]), "trees");
  assert.deepEqual(words, ["a", "b"]);
});

const refused: readonly [name: string, argv: readonly string[], takes: "trees" | "no trees", says: RegExp][] = [
  ["a word too many", ["now"], "no trees", /unexpected argument "now": only flags/],
  ["no tree", ["--json"], "trees", /no tree is named/],
  ["a flag that there is not", ["--jsn"], "no trees", /unknown flag "--jsn" \(did you mean --json\?\)/],
  ["an empty data dir", ["--data-dir="], "no trees", /must be a path/],
];
for (const [name, argv, takes, says] of refused) {
  test(`refused: ${name}`, () => {
    const isUsage = (error: unknown) => error instanceof UsageError && says.test(error.message);
    assert.throws(() => parseCacheCommand(cacheOptions, input(argv), takes), isUsage);
  });
}
