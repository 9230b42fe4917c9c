import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { skipMounts } from "../../test/helpers/mount-area.ts";

const SCRIPT = join(import.meta.dirname, "../../test/fixtures/mount-limit.ts");

test("at the node's mount limit a mount fails with its name, and leaves nothing", { skip: skipMounts }, () => {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-limit-"));
  // All that is mounted goes with the namespace; the limit is the node's, but it counts in each of them.
  const args = ["--mount", "--propagation=private", process.execPath, SCRIPT, folder];
  const { stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  rmdirSync(folder);
  const outcomes: Record<string, unknown>[] = JSON.parse(stdout || JSON.stringify([stderr]));
  assert.equal(outcomes.length, 4);
  for (const { kind, message, left, mounted } of outcomes) {
    assert.match(String(message), /the node's mount limit is reached: raise sysctl fs\.mount-max$/);
    assert.deepEqual({ kind, left, mounted }, { kind: "no-space", left: 0, mounted: false });
  }
});
