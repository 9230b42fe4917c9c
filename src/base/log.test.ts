import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, type LogLevel } from "./log.ts";

function useLines(level: LogLevel, format: "json" | "text") {
  const lines: string[] = [];
  return { lines, log: createLogger({ level, format, write: (line) => lines.push(line) }) };
}

test("a JSON line has time, level, message and fields, and nothing of the process", () => {
  const { lines, log } = useLines("info", "json");
  log.info("pull started", { reference: "a/b:c", bytes: 5, cached: false, hosts: ["x", "y"], none: undefined });
  assert.equal(lines.length, 1);
  assert.ok(lines[0]?.endsWith("}\n"));
  const { time, ...rest } = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    level: "info",
    msg: "pull started",
    reference: "a/b:c",
    bytes: 5,
    cached: false,
    hosts: ["x", "y"],
  });
});

test("a text line is for people", () => {
  const { lines, log } = useLines("info", "text");
  log.with({ volume: "v 1" }).warn("slow", { bytes: 5 });
  assert.match(lines[0] ?? "", /^\S+Z WARN {2}slow volume="v 1" bytes=5\n$/);
});

const levels = ["trace", "debug", "info", "warn", "error"] as const;
for (const [i, level] of [...levels, "silent" as const].entries()) {
  test(`at ${level}, what is below it is left out`, () => {
    const { lines, log } = useLines(level, "json");
    for (const method of levels) log[method]("x");
    const written = lines.map((line) => (JSON.parse(line) as { level: string }).level);
    assert.deepEqual(written, levels.slice(i));
  });
}

test("fields of `with` are on each line, add up, and stay out of the parent's", () => {
  const { lines, log } = useLines("info", "json");
  const child = log.with({ a: 1 }).with({ b: 2 });
  child.info("child", { c: 3 });
  log.info("parent");
  const fields = lines.map((line) => {
    const { a, b, c } = JSON.parse(line) as Record<string, unknown>;
    return [a, b, c];
  });
  assert.deepEqual(fields, [
    [1, 2, 3],
    [undefined, undefined, undefined],
  ]);
});

for (const format of ["json", "text"] as const) {
  test(`a message cannot forge another line, nor steer a terminal (${format})`, () => {
    const { lines, log } = useLines("info", format);
    log.info("a\n2026-01-01T00:00:00Z ERROR forged\r\u001b[2J\u009b2J", { field: "b\nc\u001b[0m" });
    assert.equal(lines.length, 1);
    const line = lines[0] ?? "";
    assert.ok(line.endsWith("\n"));
    for (const control of ["\n", "\r", "\u001b"]) assert.equal(line.slice(0, -1).includes(control), false);
    if (format === "text") assert.doesNotMatch(line.slice(0, -1), /\p{Cc}/u);
  });
}
