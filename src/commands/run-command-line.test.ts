import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError } from "../base/index.ts";
import type { CommandContext } from "./context.ts";
import { runCommandLine } from "./run-command-line.ts";

function contextOf(argv: string[], over: Partial<CommandContext> = {}) {
  const written = { output: "", error: "" };
  const context: CommandContext = {
    argv,
    env: {},
    cwd: "/",
    hostname: "host-1",
    build: { version: "1.2.3", commit: "abc1234", nodeVersion: "26.10.0", runtime: "executable" },
    readFile: () => "",
    readInput: async () => "",
    writeOutput: (text) => {
      written.output += text;
    },
    writeError: (text) => {
      written.error += text;
    },
    terminalColumns: undefined,
    stopSignal: () => AbortSignal.abort(),
    onCrash: () => undefined,
    ...over,
  };
  return { context, written };
}

test("version prints one line", async () => {
  const { context, written } = contextOf(["version"]);
  assert.equal(await runCommandLine(context), 0);
  assert.deepEqual(written, { output: "oras-csi 1.2.3 (commit abc1234, node v26.10.0)\n", error: "" });
});

const failures: { name: string; reason: unknown; line: string }[] = [
  { name: "a driver error", reason: new DriverError("internal", "cannot do it", new Error("x")), line: "cannot do it" },
  { name: "any other error", reason: new Error("a", { cause: new Error("b\n  c") }), line: "a: b c" },
];
for (const { name, reason, line } of failures) {
  test(`${name} in a command is one line and exit code 1`, async () => {
    const writeOutput = () => {
      throw reason;
    };
    const { context, written } = contextOf(["version"], { writeOutput });
    assert.equal(await runCommandLine(context), 1);
    assert.equal(written.error, `oras-csi: ${line}\n`);
  });
}
