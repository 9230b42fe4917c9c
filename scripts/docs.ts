// Writes what the docs say about flags from the tables in src/. `--check` writes nothing and fails if that would change a file.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { kindsTable } from "../src/artifact/index.ts";
import {
  type AnyOptionTable,
  cacheListOptions,
  cacheOptions,
  cachePruneOptions,
  cacheVerifyOptions,
  flagsTable,
  inspectOptions,
  pullOptions,
  serveOptions,
} from "../src/config/index.ts";
import { attributeTable } from "../src/volume/index.ts";

/** A part of a Markdown file that is generated: what stands between two comments that carry its name. */
interface Section {
  readonly file: string;
  readonly name: string;
  readonly content: string;
}

const SECTIONS: readonly Section[] = [
  { file: "docs/flags.md", name: "flags", content: flagsTable(serveOptions) },
  { file: "docs/flags.md", name: "inspect-flags", content: flagsTable(inspectOptions, "flags-only") },
  { file: "docs/flags.md", name: "pull-flags", content: flagsTable(pullOptions, "flags-only") },
  { file: "docs/flags.md", name: "cache-flags", content: cacheFlags() },
  { file: "docs/artifacts.md", name: "kinds", content: kindsTable() },
  { file: "README.md", name: "attributes", content: attributesTable() },
];

/** The flags that all commands on a cache have, then those that only some have. */
function cacheFlags(): string {
  const own: readonly (readonly [string, AnyOptionTable])[] = [
    ["ls", cacheListOptions],
    ["prune", cachePruneOptions],
    ["verify", cacheVerifyOptions],
  ];
  const tables = own.map(([command, table]) => {
    const entries = Object.entries(table).filter(([key]) => !Object.hasOwn(cacheOptions, key));
    return `Only \`cache ${command}\`:\n\n${flagsTable(Object.fromEntries(entries), "flags-only")}`;
  });
  return [flagsTable(cacheOptions, "flags-only"), ...tables].join("\n\n");
}

/** The attributes, after the field beside them that decides most about a volume. */
function attributesTable(): string {
  const rows = Object.entries(attributeTable).map(
    ([key, info]) => `| \`${key}\` | ${info.default} | ${info.meaning} |`,
  );
  const readOnly =
    "| `readOnly` (a field of `csi` beside `volumeAttributes`) | false | `true`: one mount that all pods share; " +
    "else a layer of the pod's own that it may write into. Pods with `hostUsers: false` need `true` |";
  return ["| attribute | default | meaning |", "| --- | --- | --- |", readOnly, ...rows].join("\n");
}

/** `text` with the content of its section `name` replaced; throws when the section's two comments are not there. */
export function withSection(text: string, { file, name, content }: Section): string {
  const begin = `<!-- ${name}: begin (written by scripts/docs.ts) -->\n`;
  const end = `<!-- ${name}: end -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${file} has no section "${name}" between its begin and end comments`);
  return `${text.slice(0, from + begin.length)}${content}\n${text.slice(to)}`;
}

function main(check: boolean): number {
  let outdated = 0;
  for (const section of SECTIONS) {
    const path = fileURLToPath(new URL(`../${section.file}`, import.meta.url));
    const before = readFileSync(path, "utf8");
    const after = withSection(before, section);
    if (after === before) continue;
    outdated++;
    if (check) console.error(`${section.file} is outdated: run "node scripts/docs.ts"`);
    else writeFileSync(path, after);
  }
  return check && outdated > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = main(process.argv.includes("--check"));
