import { isAlias, isMap, isScalar, type Node, type ParsedNode, parseDocument } from "yaml";
import { quoted, UsageError } from "./usage-error.ts";

/** A key of the configuration file and the text of its value, as it is written there. */
export interface FileEntry {
  readonly key: string;
  readonly text: string;
}

/**
 * The entries of a YAML file that is a flat map of keys to single values. A key without a value counts as not there.
 * A number or boolean keeps its spelling, so that all values go through the same parsers as on the command line.
 */
export function parseConfigFile(content: string, path: string): FileEntry[] {
  const document = parseDocument(content, { prettyErrors: true });
  const [problem] = document.errors;
  // The library shows the place in further lines; its message has line and column before them.
  if (problem !== undefined) throw refusal(path, problem.message.split(/:?\n/)[0] ?? problem.code);
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return [];
  if (!isMap(root)) throw refusal(path, "must be a map of flag names to values");
  const entries: FileEntry[] = [];
  for (const { key, value } of root.items) {
    if (!isScalar(key)) throw refusal(path, "must have flag names as keys");
    const name = scalarText(key) ?? "";
    const target = isAlias(value) ? value.resolve(document) : value;
    const text = scalarText(target);
    if (text === undefined) throw refusal(path, `${quoted(name)} must have one value, not a list or a map`);
    if (text !== null) entries.push({ key: name, text });
  }
  return entries;
}

/** Null for an empty value; undefined for what is no single value. */
function scalarText(node: Node | ParsedNode | null | undefined): string | null | undefined {
  if (node === null) return null;
  if (!isScalar(node)) return undefined;
  if (node.value === null || node.value === "") return null;
  return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
}

function refusal(path: string, problem: string): UsageError {
  return new UsageError(`configuration file ${quoted(path)}: ${problem}`);
}
