import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { filesBelow } from "../../test/integration/support.ts";
import { digestOf } from "../oci/index.ts";
import { ReferencePruner } from "./reference-pruner.ts";

const DAY_MS = 24 * 60 * 60_000;
const asked = { registry: "ghcr.io", repository: "org/model", transport: "https" };
const digest = digestOf(Buffer.from("gone"));

test("a wall clock that jumps takes nothing away that was learned in this run; a day does", async (t) => {
  const { references, dataDir } = await useDataDir(t).open();
  const time = { wallMs: 1_000 * DAY_MS, steadyMs: 5 };
  const clock = { now: () => time.wallMs, monotonicMs: () => time.steadyMs, after: () => assert.fail(), aheadMs: 0 };
  const pruner = new ReferencePruner({ dataDir, references, isStored: () => false, clock });
  await references.rememberGiven(asked, digest);
  await references.allow(asked, "blue");
  for (const path of await filesBelow(dataDir.layout.references))
    utimesSync(path, time.wallMs / 1000, time.wallMs / 1000);
  time.wallMs += 1_000 * DAY_MS;
  await pruner.prune();
  assert.deepEqual([await references.wasGiven(asked, digest), await references.isAllowed(asked, "blue")], [true, true]);
  time.wallMs -= 2_000 * DAY_MS;
  time.steadyMs += 2 * DAY_MS;
  await pruner.prune();
  assert.equal(await references.wasGiven(asked, digest), true, "a time in the future is now");
  time.wallMs += 1_001 * DAY_MS;
  await pruner.prune();
  assert.deepEqual(
    [await references.wasGiven(asked, digest), await references.isAllowed(asked, "blue")],
    [false, false],
  );
});
