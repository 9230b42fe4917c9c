import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";

const namespaces = spawnSync("unshare", ["--mount", ...(process.getuid?.() === 0 ? [] : ["--user"]), "true"]);
const skip = namespaces.status !== 0 && "mount namespaces are not allowed here";

const moments: [name: string, printed: RegExp][] = [
  ["before its stage stands", /up to date|built/],
  ["before the driver runs", /1 {2}A registry/],
  ["while the driver starts", /2 {2}The driver/],
  ["while a volume is made", /3 {2}A first pod/],
];

for (const [name, printed] of moments) {
  test(`the demo stopped ${name} leaves nothing`, { skip }, async (t) => {
    const folder = useTempFolder(t);
    const demo = spawn(process.execPath, [join(import.meta.dirname, "../demo.ts")], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => demo.kill("SIGKILL"));
    let output = "";
    demo.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (!printed.test(output) && printed.test(output + text)) demo.kill("SIGINT");
      output += text;
    });
    const [code, signal] = await once(demo, "close");
    assert.ok(code === 130 || signal === "SIGINT", `ended with ${code ?? signal}\n${output}`);
    assert.doesNotMatch(output, /that was all/);
    assert.deepEqual(readdirSync(folder), []);
  });
}
