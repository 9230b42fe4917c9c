import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfigFile } from "./config-file.ts";
import { UsageError } from "./usage-error.ts";

const read: { name: string; content: string; entries: [key: string, text: string][] }[] = [
  { name: "an empty file", content: "", entries: [] },
  { name: "comments only", content: "# nothing\n---\n", entries: [] },
  { name: "an empty map", content: "{}", entries: [] },
  {
    name: "strings, quoted or not",
    content: "a: x y\nb: 'x y'\n",
    entries: [
      ["a", "x y"],
      ["b", "x y"],
    ],
  },
  {
    name: "numbers as spelled",
    content: "a: 007\nb: 0x10\nc: 1.0\n",
    entries: [
      ["a", "007"],
      ["b", "0x10"],
      ["c", "1.0"],
    ],
  },
  {
    name: "booleans as spelled",
    content: "a: True\nb: t\nc: no",
    entries: [
      ["a", "True"],
      ["b", "t"],
      ["c", "no"],
    ],
  },
  {
    name: "a list, where one may be",
    content: "many: [a, 007]\nb: 1\n",
    entries: [
      ["many", "a"],
      ["many", "007"],
      ["b", "1"],
    ],
  },
  {
    name: "a list with aliases, in quotes and in lines",
    content: "a: &x '*.b'\nmany:\n  - *x\n  - '**'\n",
    entries: [
      ["a", "*.b"],
      ["many", "*.b"],
      ["many", "**"],
    ],
  },
  { name: "one value where a list may be", content: "many: a,b", entries: [["many", "a,b"]] },
  { name: "nothing where a list may be", content: "many:", entries: [] },
  { name: "keys without a value", content: "a:\nb: ~\nc: ''\nd: null\ne: 1", entries: [["e", "1"]] },
  {
    name: "JSON",
    content: '{"a": 4, "b": false}',
    entries: [
      ["a", "4"],
      ["b", "false"],
    ],
  },
  {
    name: "an alias",
    content: "a: &x 5\nb: *x",
    entries: [
      ["a", "5"],
      ["b", "5"],
    ],
  },
  {
    name: "a byte order mark and CRLF",
    content: "\uFEFFa: 1\r\nb: 2\r\n",
    entries: [
      ["a", "1"],
      ["b", "2"],
    ],
  },
];

const takesList = (key: string) => key === "many";

for (const { name, content, entries } of read) {
  test(`reads ${name}`, () => {
    const expected = entries.map(([key, text]) => ({ key, text }));
    assert.deepEqual(parseConfigFile(content, "/c.yaml", takesList), expected);
  });
}

const refused: { name: string; content: string; says: RegExp }[] = [
  { name: "a list", content: "- a", says: /must be a map/ },
  { name: "a bare word", content: "serve", says: /must be a map/ },
  { name: "a list as value", content: "a: [1]", says: /"a" must have one value/ },
  { name: "a map as value", content: "a:\n  b: 1", says: /"a" must have one value/ },
  { name: "a list as key", content: "? [a]\n: b", says: /flag names as keys/ },
  { name: "the same key twice", content: "a: 1\na: 2", says: /unique at line 2, column 1$/ },
  { name: "two documents", content: "a: 1\n---\nb: 2", says: /multiple documents/ },
  { name: "broken nesting", content: "a: b: c", says: /line 1, column 4$/ },
  { name: "an alias of nothing", content: "a: *nope", says: /"a" refers to a "&nope" that is not there; .* quotes$/ },
  { name: "stars without quotes in a list", content: "many:\n  - **\n", says: /"many" refers to .* needs quotes$/ },
  { name: "an empty list", content: "many: []", says: /"many" must be one value or a list of single values/ },
  { name: "a list with an empty value", content: "many: [a, ~]", says: /"many" must be one value or a list/ },
  { name: "a list in a list", content: "many: [a, [b]]", says: /"many" must be one value or a list/ },
  { name: "a map where a list may be", content: "many: {a: b}", says: /"many" must have one value/ },
];

for (const { name, content, says } of refused) {
  test(`refuses ${name}, in one line that names the file`, () => {
    assert.throws(
      () => parseConfigFile(content, "/c.yaml", takesList),
      (error) =>
        error instanceof UsageError &&
        error.message.startsWith('configuration file "/c.yaml": ') &&
        !error.message.includes("\n") &&
        says.test(error.message),
    );
  });
}
