import assert from "node:assert/strict";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useImmutable, whyNoImmutable } from "../helpers/immutable.ts";
import { artifact, fileLayer, folderLayer } from "../registry/index.ts";
import { movedAside, useVerifier } from "./verify-bench.ts";

test("a repair goes on past what cannot be set right, and tells it", {
  skip: whyNoImmutable(),
}, async () => {
  await using area = await useVerifier();
  const [model, conf] = [fileLayer("model", "m"), await folderLayer("conf", { file: "content" })];
  await area.push(artifact([model, conf]), "v1");
  await area.present("v1");
  const hexOf = ({ digest }: typeof model) => digest.slice("sha256:".length);
  const blob = join(area.dataDir, "blobs/sha256", hexOf(model));
  const folder = join(area.dataDir, "layers/sha256", `${hexOf(conf)}.artifact`);
  chmodSync(blob, 0o600);
  writeFileSync(join(folder, "new"), "");
  {
    using _blob = useImmutable(blob);
    using _folder = useImmutable(folder);
    const told = (await area.verify(true)).map((fault) => fault.replace(/[0-9a-f]{12,}/g, "…"));
    assert.deepEqual(told.slice(0, 2), [
      "blob sha256:… has mode 0600 instead of 0644, and cannot be set right (EPERM)",
      'the unpacked layer sha256:… is wrong: "new" should not be there, and cannot be set right (EPERM)',
    ]);
    assert.match(told[2] ?? "", /^tree … .*: "model" has another mode than it should$/);
    assert.deepEqual(movedAside(area.dataDir), []);
  }
  await area.verify(true);
  assert.equal(existsSync(join(folder, "new")), false);
  await area.artifacts.mendAll(new AbortController().signal);
  assert.deepEqual(await area.verify(), []);
});
