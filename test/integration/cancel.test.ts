import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { GatedProxy } from "../helpers/gated-proxy.ts";
import { artifact, type BuiltLayer, fileLayer, folderLayer } from "../registry/index.ts";
import { ingestOf, sizeOf, untilOnDisk } from "./partials.ts";
import { assertNothingLeft, attributes, pushThing, REAL, startRegistry } from "./support.ts";

const SIZE = 4_000_000;
/** So much of the blob comes, with the head of its answer; then its connection brings nothing more. */
const PASSED = 1_500_000;
const content = randomBytes(SIZE);
const makers: readonly { kind: string; file: string; make: () => Promise<BuiltLayer> }[] = [
  { kind: "file", file: "big", make: () => Promise.resolve(fileLayer("big", content)) },
  { kind: "folder", file: "folder/big", make: () => folderLayer("folder", { big: content }) },
];

for (const { kind, file, make } of makers) {
  test(
    `the last volume's unpublish cancels the pull of a ${kind}: nothing more is asked for until the next`,
    REAL,
    async () => {
      await using registry = await startRegistry();
      await using proxy = await GatedProxy.start(registry.host);
      const layer = await make();
      await pushThing(registry, artifact([layer]));
      const reference = `${proxy.host}/team/thing:v1`;
      const asked = () => proxy.requests.filter((head) => head.includes(`/blobs/${layer.digest}`));
      proxy.holdAfter(`/blobs/${layer.digest}`, PASSED);
      // So that nothing but a cancel ends a connection that brings nothing.
      await using sandbox = await Sandbox.start({ flags: ["--stall-timeout=1h"] });
      const partial = ingestOf(sandbox, layer, proxy);

      const volumes = [0, 1].map(() => sandbox.kubelet.volume({ attributes: attributes(reference) }));
      const publishes = volumes.map((volume) => assert.rejects(volume.publish()));
      await untilOnDisk(partial, PASSED - 10_000);
      await volumes[0]?.unpublish();
      await publishes[0];
      assert.equal(proxy.openFor(`/blobs/${layer.digest}`), 1, "another volume wants it still");
      await volumes[1]?.unpublish();
      await publishes[1];
      // Something else that goes all the way through the driver, some tenths of a second: by then it is cancelled, and has
      // not asked again.
      const other = await pushThing(registry, artifact([fileLayer("other", "1")]), "other");
      const bystander = sandbox.kubelet.volume({ attributes: attributes(other.replace(registry.host, proxy.host)) });
      await bystander.publish();
      assert.deepEqual([proxy.openFor(`/blobs/${layer.digest}`), asked().length], [0, 1]);
      const kept = await sizeOf(partial);
      assert.ok(kept >= PASSED - 10_000 && kept < PASSED, `${kept} bytes are kept`);

      proxy.holdAfter(`/blobs/${layer.digest}`, Number.POSITIVE_INFINITY);
      const next = sandbox.kubelet.volume({ attributes: attributes(reference) });
      await next.publish();
      assert.ok((await readFile(join(next.targetPath, file))).equals(content));
      assert.deepEqual(
        asked().map((head) => /\r\nrange: bytes=(\d+)-/i.exec(head)?.[1]),
        [undefined, String(kept)],
      );
      for (const volume of [bystander, next]) await volume.unpublish();
      await assertNothingLeft(sandbox);
    },
  );
}
