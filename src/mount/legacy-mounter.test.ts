import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { createLegacyMounter } from "./legacy-mounter.ts";
import { defaultMountFlags } from "./mount-flags.ts";

const MS_BIND = 1 << 12;

test("what a crash left in the staging folder goes, unknown files stay, sources too", {
  skip: skipMounts,
}, async () => {
  await using area = await useMountArea({ propagation: "shared" });
  const { libc } = area;
  const source = area.folder("source");
  writeFileSync(join(source, "file"), "content");
  const stagingFolder = area.folder("staging");
  mkdirSync(join(stagingFolder, "unknown"));
  writeFileSync(join(stagingFolder, "unknown/file"), "");
  mkdirSync(join(stagingFolder, "bind-under"));
  await libc.mount({ source: stagingFolder, target: stagingFolder, flags: MS_BIND });
  mkdirSync(join(stagingFolder, "bind-left"));
  await libc.mount({ source, target: join(stagingFolder, "bind-left"), flags: MS_BIND });

  const mounter = createLegacyMounter({ libc, stagingFolder, overlay: { metacopy: true } });
  const target = area.folder("target");
  const options = { source, target, readOnly: true, flags: defaultMountFlags };
  await mounter.bind(options);
  assert.equal(readFileSync(join(target, "file"), "utf8"), "content");
  assert.deepEqual(readdirSync(stagingFolder), ["unknown"]);
  assert.deepEqual(await mounter.mountsBelow(stagingFolder), []);
  assert.deepEqual(readdirSync(source), ["file"]);
  assert.equal((await mounter.mountHolding(stagingFolder))?.sharedGroup, undefined);
});

test("staging that failed is tried again", { skip: skipMounts }, async () => {
  await using area = await useMountArea();
  const { libc } = area;
  const stagingFolder = join(area.path, "later/staging");
  const mounter = createLegacyMounter({ libc, stagingFolder, overlay: { metacopy: true } });
  const options = { source: area.folder("source"), target: area.folder("target"), readOnly: true };
  await assert.rejects(mounter.bind({ ...options, flags: defaultMountFlags }));
  area.folder("later");
  await mounter.bind({ ...options, flags: defaultMountFlags });
  assert.ok(await mounter.mountAt(options.target));
});
