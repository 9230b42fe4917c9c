import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { mountsBelow, Sandbox } from "../driver/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";

/** A mount namespace of the driver's own, as a container has one; how it is joined to the host's is the row's. */
const rows = [
  { propagation: "unchanged", like: "mountPropagation: Bidirectional", reaches: true },
  { propagation: "slave", like: "mountPropagation: HostToContainer", reaches: false },
  { propagation: "private", like: "no mountPropagation", reaches: false },
];

for (const { propagation, like, reaches } of rows) {
  for (const readOnly of [true, false]) {
    const outcome = reaches ? "reaches the host with its flags" : "is refused, and says what to set";
    test(`${like}: a ${readOnly ? "read-only" : "writable"} volume ${outcome}`, REAL, async () => {
      await using registry = await EmbeddedRegistry.start();
      const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
      await using sandbox = await Sandbox.create();
      const { kubeletFolder } = sandbox;
      await mkdir(kubeletFolder);
      execFileSync("mount", ["--bind", kubeletFolder, kubeletFolder]);
      execFileSync("mount", ["--make-shared", kubeletFolder]);
      const driver = sandbox.launchDriver({ prefix: ["unshare", "--mount", `--propagation=${propagation}`, "--"] });
      await driver.ready();
      const volume = sandbox.kubelet.volume({ attributes: attributes(reference), readOnly });
      if (reaches) {
        await volume.publish();
        const [mount] = mountsBelow(volume.targetPath);
        assert.deepEqual(mount?.options.slice(0, 3), [readOnly ? "ro" : "rw", "nosuid", "nodev"]);
        assert.equal(await readFile(join(volume.targetPath, "a"), "utf8"), "a\n");
        await volume.publish();
        assert.equal(mountsBelow(volume.targetPath).length, 1);
        await driver.stop("SIGKILL");
        await sandbox.launchDriver({ prefix: ["unshare", "--mount", "--propagation=unchanged", "--"] }).ready();
        await volume.publish();
        assert.equal(mountsBelow(volume.targetPath).length, 1, "the next driver finds the mount in its own namespace");
        await volume.unpublish();
      } else {
        const says = new RegExp(`${kubeletFolder} is mounted .* without mountPropagation: Bidirectional`);
        await rejectsWith(volume.publish(), "FAILED_PRECONDITION", says);
        assert.equal(registry.log.blobGets().length, 0, "nothing is pulled for a pod that would not see it");
        const elsewhere = { volumeId: "v", targetPath: join(kubeletFolder, "elsewhere"), readonly: true };
        using client = driver.connect();
        await client.publish({ ...elsewhere, volumeContext: attributes(reference) });
        await client.unpublish("v", elsewhere.targetPath);
      }
      execFileSync("umount", [kubeletFolder]);
      await assertNothingLeft(sandbox);
    });
  }
}
