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
    userId: 0,
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

test("a driver that is started without a command says so to whoever sees a terminal", async () => {
  for (const [argv, terminalColumns, says] of [
    [[], 80, true],
    [[], undefined, false],
    [["--mode=controller"], 80, false],
  ] as const) {
    // It ends before it begins: its flags are wrong, or those of the environment.
    const { context, written } = contextOf([...argv], { terminalColumns, env: { ORAS_CSI_MODE: "controller" } });
    assert.equal(await runCommandLine(context), 2);
    assert.equal(written.error.startsWith("oras-csi: no command is given, so the driver starts; "), says);
    assert.match(written.error, /^oras-csi: bad value "controller" for /m);
  }
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
