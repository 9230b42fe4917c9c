import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A fresh folder that goes when the test ends. */
export function useTempFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
