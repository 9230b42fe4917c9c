import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type ParsedNode, parseDocument } from "yaml";
import { quoted, UsageError } from "./usage-error.ts";

/** A key of the configuration file and the text of a value of it, as it is written there. */
export interface FileEntry {
  readonly key: string;
  readonly text: string;
}

/**
 * The entries of a YAML file that is a flat map of keys to single values, or to lists of them for keys that take lists:
 * an entry for each value. A key without a value counts as not there. A number or boolean keeps its spelling, so that
 * all values go through the same parsers as on the command line.
 */
export function parseConfigFile(content: string, path: string, takesList: (key: string) => boolean): FileEntry[] {
  const document = parseDocument(content, { prettyErrors: true });
  const [problem] = document.errors;
  // The library shows the place in further lines; its message has line and column before them.
  if (problem !== undefined) throw refusal(path, problem.message.split(/:?\n/)[0] ?? problem.code);
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return [];
  if (!isMap(root)) throw refusal(path, "must be a map of flag names to values");
  return root.items.flatMap(({ key, value }) => {
    if (!isScalar(key)) throw refusal(path, "must have flag names as keys");
    const name = scalarText(key) ?? "";
    const refuse = (why: string) => refusal(path, `${quoted(name)} ${why}`);
    const target = resolved(value, document, refuse);
    const texts = isSeq(target) && takesList(name) ? listTexts(target.items, document, refuse) : [scalarText(target)];
    if (texts.includes(undefined)) throw refuse("must have one value, not a list or a map");
    return texts.flatMap((text) => (typeof text === "string" ? [{ key: name, text }] : []));
  });
}

type Value = Node | ParsedNode | null | undefined;

function listTexts(items: readonly unknown[], document: Document.Parsed, refuse: (why: string) => UsageError) {
  const texts = items.map((item) => scalarText(resolved(item as Value, document, refuse)));
  const good = texts.filter((text) => typeof text === "string");
  // A list that lists nothing would read as "nothing" to some and as "no limit" to others.
  if (good.length === 0 || good.length < texts.length) throw refuse("must be one value or a list of single values");
  return good;
}

/** What an alias stands for; anything else itself. */
function resolved(value: Value, document: Document.Parsed, refuse: (why: string) => UsageError): Value {
  if (!isAlias(value)) return value;
  const target = value.resolve(document);
  if (target !== undefined) return target;
  throw refuse(`refers to a ${quoted(`&${value.source}`)} that is not there; a text that begins with * needs quotes`);
}

/** Null for an empty value; undefined for what is no single value. */
function scalarText(node: Value): string | null | undefined {
  if (node === null) return null;
  if (!isScalar(node)) return undefined;
  if (node.value === null || node.value === "") return null;
  return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
}

function refusal(path: string, problem: string): UsageError {
  return new UsageError(`configuration file ${quoted(path)}: ${problem}`);
}
