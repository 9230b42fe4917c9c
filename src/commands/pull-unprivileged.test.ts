import assert from "node:assert/strict";
import { chownSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type TarFields, tarOf } from "../../test/fixtures/tar-builder.ts";
import { runCommand } from "../../test/helpers/command-run.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { artifact, type BuiltLayer, EmbeddedRegistry, fileLayer, push, tarLayer } from "../../test/registry/index.ts";

// Folders without write bits stand in the way of all users but root, also when they are their own.

const NOBODY = 65_534;
const file = (name: string): TarFields => ({ name, data: name });
const folder = (name: string, mode: number): TarFields => ({
  name,
  type: "5",
  mode,
  mtime: 1_000,
});
const readOnly = tarLayer("t", tarOf(folder("t", 0o755), folder("t/ro", 0o555), file("t/ro/x")));

/** Runs as somebody who is not root. */
async function asUser<T>(run: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return run();
  process.setegid?.(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    return await run();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

const artifacts: Record<string, readonly BuiltLayer[]> = {
  "in a folder": [readOnly],
  "at the top": [tarLayer("t", tarOf(folder("t", 0o555), file("t/x")))],
  "as the root": [tarLayer(".", tarOf(folder(".", 0o555), folder("a", 0o500), file("a/x")))],
  "that another layer puts something into": [readOnly, fileLayer("t/ro/y", "y")],
  "that another layer has put something into": [fileLayer("t/ro/y", "y"), readOnly],
};

describe("who is not root pulls read-only folders", () => {
  for (const [name, layers] of Object.entries(artifacts)) {
    test(`${name}, also over those of an earlier pull`, async (t) => {
      await using registry = await EmbeddedRegistry.start();
      await push(registry, "team/thing", artifact(layers), "v1");
      const output = useTempFolder(t);
      if (process.getuid?.() === 0) chownSync(output, NOBODY, NOBODY);
      const argv = ["pull", "--plain-http", "-o", output, `${registry.host}/team/thing:v1`];
      for (const _ of ["first", "second"]) {
        const { code, error } = await asUser(() => runCommand(argv));
        assert.deepEqual([code, error], [0, ""]);
        assert.deepEqual(readdirSync(output), [name === "as the root" ? "a" : "t"]);
        for (const path of readdirSync(output, {
          recursive: true,
          encoding: "utf8",
        }))
          look(join(output, path));
      }
    });
  }
});

/** Read-only folders stay so, and files have what the artifact has. */
function look(path: string): void {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) assert.ok(path.endsWith(readFileSync(path, "utf8")), path);
  else if (/\/(ro|a)$/.test(path)) assert.equal(stats.mode & 0o7777, 0o555);
}
