import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { flagsHelp, flagsTable } from "./help.ts";
import { environmentName, flagName } from "./option.ts";
import { serveOptions } from "./serve-options.ts";

for (const [key, { description, defaultText }] of Object.entries(serveOptions)) {
  test(`--${flagName(key)} is in --help and in the docs' table`, () => {
    const help = flagsHelp(serveOptions);
    assert.match(help, new RegExp(`^  --${flagName(key)}[ [].*\\n      \\S`, "m"));
    const fallback = defaultText === "unset" ? "" : ` (default: ${defaultText})`;
    assert.ok(help.replaceAll(/\s+/g, " ").includes(` ${description}${fallback} `));
    assert.match(
      flagsTable(serveOptions),
      new RegExp(`^\\| \`--${flagName(key)}[ \`].*\`${environmentName(key)}\``, "m"),
    );
    assert.doesNotMatch(description, /\n|\.$/);
  });
}

test("no line of --help is wider than 100 columns, but for a word that is", () => {
  for (const line of flagsHelp(serveOptions).split("\n")) assert.ok(line.length <= 100, line);
});

test("names derive from keys", () => {
  assert.equal(flagName("csiEndpoint"), "csi-endpoint");
  assert.equal(environmentName("csiEndpoint"), "ORAS_CSI_CSI_ENDPOINT");
});

test("every row of the docs' table has four cells", () => {
  for (const line of flagsTable(serveOptions).split("\n")) assert.equal(line.split(/(?<!\\)\|/).length, 6, line);
});

test("docs/flags.md is what scripts/docs.ts writes", () => {
  const script = fileURLToPath(new URL("../../scripts/docs.ts", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
});
