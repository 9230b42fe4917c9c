import assert from "node:assert/strict";
import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { assertNothingLeft, attributes, filesBelow, pushThing, REAL, textFiles } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";

const HOW: readonly { readonly name: string; readonly spoil: (path: string) => Promise<void> }[] = [
  { name: "is empty", spoil: (path) => truncate(path, 0) },
  { name: "is cut short", spoil: (path) => truncate(path, 9) },
  { name: "is no JSON", spoil: (path) => writeFile(path, Buffer.alloc(4096, 0xff)) },
  { name: "says something else", spoil: (path) => writeFile(path, '{"format":"one","id":7,"layers":{}}') },
  {
    name: "is a folder",
    spoil: async (path) => {
      await rm(path);
      await mkdir(join(path, "x"), { recursive: true });
    },
  },
];

describe("a driver that finds all its state files corrupt", REAL, () => {
  for (const { name, spoil } of HOW) {
    test(`keeps what is published, and publishes: each of them ${name}`, async () => {
      await using registry = await EmbeddedRegistry.start();
      const layers = [fileLayer("a", "a\n"), await folderLayer("folder", { b: "b\n" })];
      const asked = attributes(await pushThing(registry, artifact(layers)));
      await using sandbox = await Sandbox.start();
      const volumes = [true, false].map((readOnly) => sandbox.kubelet.volume({ attributes: asked, readOnly }));
      for (const volume of volumes) await volume.publish();
      await writeFile(join(volumes[1]?.targetPath ?? "", "mine"), "m\n");
      await sandbox.driver.stop("SIGKILL");
      const files = (await filesBelow(sandbox.dataDir)).filter((path) => path.endsWith(".json"));
      const kinds = new Set(files.map((path) => path.slice(sandbox.dataDir.length + 1).split("/")[0]));
      // The first collection may have noted what the clocks say.
      kinds.delete("clock.json");
      assert.deepEqual([...kinds].sort(), ["format.json", "layers", "references", "trees", "volumes"]);
      for (const path of files) await spoil(path);
      const driver = await sandbox.startDriver();
      const shown = { a: "a\n", "folder/b": "b\n" };
      for (const [i, volume] of volumes.entries()) {
        await volume.publish();
        assert.deepEqual(await textFiles(volume.targetPath), i === 1 ? { ...shown, mine: "m\n" } : shown);
      }
      assert.equal(sandbox.mounts().length, 2);
      const third = sandbox.kubelet.volume({ attributes: asked });
      await third.publish();
      assert.deepEqual(await textFiles(third.targetPath), shown);
      await driver.said(/state file is corrupt/);
      assert.doesNotMatch(driver.output, /unexpected driver failure/);
      for (const volume of [...volumes, third]) await volume.unpublish();
      await assertNothingLeft(sandbox);
    });
  }
});
