import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "../..");
const tools = join(root, "node_modules/.bin");
const main = join(root, "test/fixtures/runtime/main.ts");

// The executable, the fifth way, is tried by what tests the build.
const ways: { name: string; command: string; args: string[]; runtime: string }[] = [
  { name: "Node", command: "node", args: [], runtime: "node" },
  { name: "Node with tsx", command: "node", args: ["--import", "tsx"], runtime: "node" },
  { name: "tsx", command: "tsx", args: [], runtime: "node" },
  { name: "Deno", command: "deno", args: ["run", "-A"], runtime: "deno" },
];

for (const { name, command, args, runtime } of ways) {
  test(`worker, koffi and build information from source: ${name}`, async () => {
    const env = { ...process.env, PATH: `${tools}:${process.env["PATH"]}` };
    const { stdout } = await promisify(execFile)(join(tools, command), [...args, main], { cwd: root, env });
    const { answer, length, info } = JSON.parse(stdout);
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    assert.equal(answer, "hello thread");
    assert.equal(length, 4);
    assert.deepEqual({ ...info, nodeVersion: "" }, { version, commit: "source", nodeVersion: "", runtime });
    assert.match(info.nodeVersion, /^\d+\.\d+\.\d+$/);
  });
}
