import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../../test/helpers/command-run.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";

for (const userId of [0, 1000]) {
  test(`serve says before anything fails whether user ${userId} can mount`, async (t) => {
    const folder = useTempFolder(t);
    const argv = ["serve", `--csi-endpoint=${join(folder, "csi.sock")}`, `--data-dir=${join(folder, "data")}`];
    const { code, error } = await runCommand(argv, { userId, signal: AbortSignal.abort() });
    const warnings = error.split("\n").filter((line) => line.includes("not run as root"));
    assert.deepEqual([code, warnings.length], [0, userId === 0 ? 0 : 1]);
  });
}
