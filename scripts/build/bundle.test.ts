import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { bundleSources } from "./bundle.ts";

test("workers bring no package that only the main thread uses", async (t) => {
  const { assets } = await bundleSources(useTempFolder(t));
  const packagesIn = (bundle: string) => {
    const code = readFileSync(assets[`${bundle}.cjs`] ?? "", "utf8");
    return new Set(Array.from(code.matchAll(/^ *\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)/gm), ([, name]) => name));
  };
  const inMain = packagesIn("main");
  for (const used of ["pino", "prom-client", "yaml"]) assert.ok(inMain.has(used), used);
  for (const worker of ["pull-worker", "unpack-worker", "verify-worker"])
    assert.deepEqual([...packagesIn(worker)], [], worker);
});
