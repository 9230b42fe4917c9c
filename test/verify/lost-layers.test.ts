import assert from "node:assert/strict";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { paxEntry, tarEntry, tarOf } from "../fixtures/tar-builder.ts";
import {
  artifact,
  type BuiltLayer,
  type BuiltManifest,
  configuredArtifact,
  fileLayer,
  layer,
  TITLE,
  tarLayer,
} from "../registry/index.ts";
import { flipByte, useVerifier } from "./verify-bench.ts";

const TAR = "application/vnd.oci.image.layer.v1.tar";
const folder = tarLayer("d", tarOf({ name: "d/x", data: "x" }, { name: "d/.wh.y", data: "no file of an image" }));

function imageOf(bytes: Buffer): BuiltManifest {
  const config = Buffer.from('{"architecture":"amd64","os":"linux"}');
  return configuredArtifact(layer(config, "application/vnd.oci.image.config.v1+json"), [layer(bytes, TAR)]);
}

/** Takes an unpacked layer away. */
function lose(dataDir: string, { digest }: BuiltLayer): void {
  const path = join(dataDir, "layers/sha256", `${digest.slice("sha256:".length)}.artifact`);
  rmSync(path, { recursive: true });
  rmSync(`${path}.index`);
}

for (const [other, manifest] of [
  ["is a file of another tree", artifact([{ ...folder, annotations: { [TITLE]: "d.tgz" } }])],
  ["is one of an image, too", imageOf(folder.bytes)],
] as const)
  for (const hasManifest of [true, false])
    test(`a tree whose layer was lost is right, though the layer ${other}, with its manifest: ${hasManifest}`, async () => {
      await using area = await useVerifier();
      const own = artifact([folder]);
      for (const [tag, pushed] of Object.entries({ own, other: manifest })) {
        await area.push(pushed, tag);
        await area.present(tag);
      }
      lose(area.dataDir, folder);
      if (!hasManifest) rmSync(join(area.dataDir, "blobs/sha256", own.digest.slice("sha256:".length)));
      assert.deepEqual(await area.verify(), []);
      assert.equal((await area.counts()).unknownFiles, 2);
    });

test("a sparse file of a layer that was unpacked anew is right, though its manifest is gone", async () => {
  await using area = await useVerifier();
  const records = { major: "1", minor: "0", name: "d/sparse", realsize: "100000" };
  const pairs = Object.entries(records).map(([name, value]) => [`GNU.sparse.${name}`, value]);
  const data = `${"1\n50000\n3\n".padEnd(512, "\0")}abc`;
  const sparse = [paxEntry(Object.fromEntries(pairs)), tarEntry({ name: "d/sparse-0", data })];
  const layers = [tarLayer("d", tarOf(...sparse))];
  const own = artifact(layers);
  await area.push(own, "own");
  const tree = await area.present("own");
  assert.equal(statSync(join(tree.folder, "d/sparse")).size, 100_000);
  for (const one of layers) lose(area.dataDir, one);
  await area.push(artifact([...layers, fileLayer("more", "more")]), "other");
  await area.present("other");
  rmSync(join(area.dataDir, "blobs/sha256", own.digest.slice("sha256:".length)));
  assert.deepEqual(await area.verify(), []);
});

test("a file of a tree whose manifest is gone is wrong where all that it may hold is known", async () => {
  await using area = await useVerifier();
  const own = artifact([folder]);
  await area.push(own, "own");
  const tree = await area.present("own");
  lose(area.dataDir, folder);
  await area.push(artifact([folder, fileLayer("more", "more")]), "other");
  await area.present("other");
  rmSync(join(area.dataDir, "blobs/sha256", own.digest.slice("sha256:".length)));
  flipByte(join(tree.folder, "d/x"));
  assert.match((await area.verify()).join("\n"), /^tree .*: "d\/x" has wrong bytes$/);
});
