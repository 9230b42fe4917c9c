import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import { configuredArtifact, layer } from "../registry/index.ts";
import { useVerifier } from "./verify-bench.ts";

const packed = (...entries: readonly TarFields[]) => layer(tarOf(...entries), "application/vnd.oci.image.layer.v1.tar");
const layers = [
  packed(
    { name: "bin/", type: "5", mode: 0o711 },
    { name: "bin/tool", data: "tool", mode: 0o755 },
    { name: "opt/hidden", data: "hidden" },
    { name: "link", type: "2", linkName: "bin/tool" },
  ),
  packed({ name: "opt/.wh.hidden" }, { name: "opt/shown", data: "shown", mode: 0o644 }),
];

/** A tree of an image of two layers. */
async function useImage() {
  const area = await useVerifier();
  const config = layer(
    Buffer.from('{"architecture":"amd64","os":"linux"}'),
    "application/vnd.oci.image.config.v1+json",
  );
  await area.push(configuredArtifact(config, layers), "v1");
  const { id, folder } = await area.present("v1");
  return { ...area, id, folder };
}

type Harm = readonly [name: string, harm: (tree: string) => void, says: RegExp];
const harms: readonly Harm[] = [
  [
    "swapped names",
    (tree) => {
      renameSync(join(tree, "bin/tool"), join(tree, "swapped"));
      renameSync(join(tree, "opt/shown"), join(tree, "bin/tool"));
      renameSync(join(tree, "swapped"), join(tree, "opt/shown"));
    },
    /: ".*" and 1 more have wrong bytes; ".*" and 1 more have other modes than they should$/,
  ],
  ["a folder's mode", (tree) => chmodSync(join(tree, "bin"), 0o755), /: "bin" has mode 0755 instead of 0711$/],
  [
    "a link's target",
    (tree) => {
      rmSync(join(tree, "link"));
      symlinkSync("opt/shown", join(tree, "link"));
    },
    /: "link" leads elsewhere than it should$/,
  ],
  [
    "what a layer hides",
    (tree) => renameSync(join(tree, "opt/shown"), join(tree, "opt/hidden")),
    /: "opt\/shown" is missing; "opt\/hidden" should not be there$/,
  ],
];

for (const [name, harm, says] of harms)
  test(`in the tree of an image is told and mended: ${name}`, async () => {
    await using area = await useImage();
    assert.deepEqual(await area.verify(), []);
    harm(area.folder);
    const [told = "", ...others] = await area.verify();
    assert.deepEqual(others, []);
    assert.match(told, says);
    const report = await area.artifacts.mendAll(new AbortController().signal);
    assert.deepEqual(report, { mended: [area.id], left: [] });
    assert.deepEqual(await area.verify(), []);
    assert.equal(readFileSync(join(area.folder, "link"), "utf8"), "tool");
    assert.equal(existsSync(join(area.folder, "opt/hidden")), false);
  });

test("in the tree of an image is told and mended: a folder's owner", {
  skip: statSync("/proc/self").uid !== 0 && "only root gives files away",
}, async () => {
  await using area = await useImage();
  const path = join(area.folder, "bin");
  chownSync(path, 1234, 1234);
  assert.match((await area.verify())[0] ?? "", /: "bin" belongs to another user than it should$/);
  await area.artifacts.mendAll(new AbortController().signal);
  assert.deepEqual(await area.verify(), []);
  assert.equal(statSync(path).uid, 0);
});
