import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  cacheListOptions,
  cacheOptions,
  cachePruneOptions,
  cacheVerifyOptions,
  inspectOptions,
  parseConfig,
  pullOptions,
  serveOptions,
} from "../../src/config/index.ts";
import { parseCacheCommand } from "../../src/config/cache-options.ts";
import { parseClientCommand } from "../../src/config/client-config.ts";
import { flagName } from "../../src/config/option.ts";
import { runCommand } from "../helpers/command-run.ts";

const root = join(import.meta.dirname, "../..");
const guides = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
const read = (file: string) => readFileSync(join(root, file), "utf8");
const surroundings = { env: {}, cwd: "/", hostname: "host-1", readFile: () => "" };

/** Reads a command line, after `oras-csi`, as its command does; throws a `UsageError` for a wrong one. */
const readers: Readonly<Record<string, (argv: readonly string[]) => unknown>> = {
  serve: (argv) => parseConfig({ ...surroundings, argv }),
  inspect: (argv) => parseClientCommand(inspectOptions, { ...surroundings, argv }),
  pull: (argv) => parseClientCommand(pullOptions, { ...surroundings, argv }),
  version: (argv) => assert.deepEqual(argv, []),
  "cache ls": (argv) => parseCacheCommand(cacheListOptions, { ...surroundings, argv }, "no trees"),
  "cache du": (argv) => parseCacheCommand(cacheOptions, { ...surroundings, argv }, "no trees"),
  "cache prune": (argv) => parseCacheCommand(cachePruneOptions, { ...surroundings, argv }, "no trees"),
  "cache verify": (argv) => parseCacheCommand(cacheVerifyOptions, { ...surroundings, argv }, "no trees"),
  "cache rm": (argv) => parseCacheCommand(cacheOptions, { ...surroundings, argv }, "trees"),
  "cache pin": (argv) => parseCacheCommand(cacheOptions, { ...surroundings, argv }, "trees"),
  "cache unpin": (argv) => parseCacheCommand(cacheOptions, { ...surroundings, argv }, "trees"),
};

function check(line: string): void {
  const words = line
    .replace(/\s(?:#|<|>|\|).*$/, "")
    .trim()
    .split(/\s+/)
    .slice(1);
  const length = words[0] === "cache" ? 2 : 1;
  const name = words[0]?.startsWith("-") ? "serve" : words.slice(0, length).join(" ");
  const reader = readers[name];
  assert.ok(reader, `there is no command ${name}: ${line}`);
  try {
    reader(words[0]?.startsWith("-") ? words : words.slice(length));
  } catch (error) {
    assert.fail(`${line}: ${String(error)}`);
  }
}

/** Lines of the code blocks of a text that call the executable, each from there on. */
function commandLines(text: string): string[] {
  const blocks = [...text.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].map(([, block = ""]) => block);
  const lines = blocks.flatMap((block) => block.replaceAll("\\\n", " ").split("\n"));
  return lines.flatMap((line) => /(?:^| -- )(?:\S*\/)?(oras-csi(?: .*)?)$/.exec(line)?.[1] ?? []);
}

test("the command lines in the guides are something that the commands take", () => {
  const lines = guides.flatMap((file) => commandLines(read(file)));
  assert.ok(lines.length >= 5, lines.join("\n"));
  for (const line of lines) check(line);
});

for (const name of ["", ...Object.keys(readers)]) {
  test(`the examples in oras-csi ${name} --help are something that it takes`, async () => {
    const { code, output } = await runCommand([...name.split(" ").filter(Boolean), "--help"]);
    assert.equal(code, 0);
    const examples = /^Examples:\n((?: {2}oras-csi .*\n)+)/m.exec(output)?.[1]?.trim().split("\n") ?? [];
    if (!["version", "cache du"].includes(name)) assert.ok(examples.length > 0, "there is none");
    for (const example of examples) check(example.trim());
  });
}

/** Flags that the guides name and that are other programs'. */
const OTHERS = ["set", "flag", "force", "purge", "x", "help", "version"];

test("each flag that the guides name exists", () => {
  const tables = [serveOptions, inspectOptions, pullOptions, cacheListOptions, cachePruneOptions, cacheVerifyOptions];
  const known = new Set([...tables.flatMap((table) => Object.keys(table).map(flagName)), ...OTHERS]);
  for (const file of guides) {
    for (const [, name = ""] of read(file).matchAll(/`--([a-z-]+)/g)) assert.ok(known.has(name), `${file}: --${name}`);
  }
});

test("each value of the chart that the guides name exists", () => {
  const values = new Set(chartValues());
  for (const file of guides) {
    for (const [, path = ""] of read(file).matchAll(/--set(?:-string|-json)? ([A-Za-z.]+)=/g)) {
      assert.ok(values.has(path), `${file}: ${path}`);
    }
  }
  const table = /^\| value \| what it does \|\n((?:\|.*\n)+)/m.exec(read("docs/install.md"))?.[1] ?? "";
  const named = [...table.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell = ""]) => cell.match(/[A-Za-z.]+/g) ?? []);
  assert.ok(named.length > 10);
  for (const path of named) assert.ok(values.has(path), path);
});

/** The paths of the chart's values: `cache.ttl`. */
function chartValues(): string[] {
  const { properties } = JSON.parse(read("deploy/chart/values.schema.json"));
  return pathsBelow(properties, "");
}

function pathsBelow(properties: Readonly<Record<string, { readonly properties?: object }>>, above: string): string[] {
  return Object.entries(properties).flatMap(([name, { properties: own }]) => [
    above + name,
    ...pathsBelow((own ?? {}) as typeof properties, `${above}${name}.`),
  ]);
}
