import assert from "node:assert/strict";
import { test } from "node:test";
import { scanArguments, type WrittenFlag } from "./scan-arguments.ts";
import { serveOptions } from "./serve-options.ts";

const flag = (name: string, text?: string): WrittenFlag => ({ name, text });

const rows: { argv: string[]; flags?: WrittenFlag[]; words?: string[] }[] = [
  { argv: [] },
  { argv: ["--mode", "node"], flags: [flag("mode", "node")] },
  { argv: ["--mode=node"], flags: [flag("mode", "node")] },
  { argv: ["-mode", "node"], flags: [flag("mode", "node")] },
  { argv: ["-mode=node"], flags: [flag("mode", "node")] },
  { argv: ["--node-id=a=b\nc"], flags: [flag("node-id", "a=b\nc")] },
  { argv: ["--node-id="], flags: [flag("node-id", "")] },
  { argv: ["--node-id", ""], flags: [flag("node-id", "")] },
  { argv: ["--node-id", "--mode"], flags: [flag("node-id", "--mode")] },
  { argv: ["--node-id", "--"], flags: [flag("node-id", "--")] },
  { argv: ["--node-id"], flags: [flag("node-id")] },
  { argv: ["--enforce-namespaces", "false"], flags: [flag("enforce-namespaces")], words: ["false"] },
  { argv: ["-enforce-namespaces=false"], flags: [flag("enforce-namespaces", "false")] },
  { argv: ["--unheard-of", "x"], flags: [flag("unheard-of")], words: ["x"] },
  { argv: ["--", "--mode", "x"], words: ["--mode", "x"] },
  { argv: ["a", "--mode=node", "b"], flags: [flag("mode", "node")], words: ["a", "b"] },
  { argv: ["-", "", "---mode", "--=x", "-=x"], words: ["-", "", "---mode", "--=x", "-=x"] },
];

for (const { argv, flags = [], words = [] } of rows) {
  test(`scans ${JSON.stringify(argv)}`, () => {
    assert.deepEqual(scanArguments(argv, serveOptions), { flags, words });
  });
}
