import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { EXECUTABLE, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { attributes, pushThing, REAL } from "./support.ts";

// No machine that runs these tests has SELinux. What can be seen of it: that a kernel which refuses the label stops
// nothing, and that the label is set before there are threads that would not have it.

const NO_LABEL = /gets no SELinux label/g;

/** The driver sees this text as /proc/filesystems. */
function withFileSystems(file: string): readonly string[] {
  const script = 'mount --bind "$0" /proc/filesystems && exec "$@"';
  return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, file];
}

test("a kernel that refuses the SELinux label is told of once, and volumes are served", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const layers = [fileLayer("a", "a\n"), await folderLayer("folder", { b: "b\n" })];
  const reference = await pushThing(registry, artifact(layers));
  await using sandbox = await Sandbox.create();
  const listed = join(sandbox.folder, "filesystems");
  writeFileSync(listed, "nodev\tselinuxfs\n");
  const driver = sandbox.launchDriver({ prefix: withFileSystems(listed) });
  await driver.ready();
  using client = driver.connect();
  for (const readonly of [true, false]) {
    const targetPath = join(sandbox.folder, `target-${readonly}`);
    await client.publish({ volumeId: `v-${readonly}`, targetPath, readonly, volumeContext: attributes(reference) });
    await client.unpublish(`v-${readonly}`, targetPath);
  }
  assert.equal((await driver.stop()).code, 0);
  assert.equal(driver.output.match(NO_LABEL)?.length, 1, driver.output);
  assert.match(driver.output, /"label":"system_u:object_r:container_file_t:s0"/);
});

test("where SELinux is off, nothing is said of it", REAL, async () => {
  await using sandbox = await Sandbox.start();
  assert.equal((await sandbox.driver.stop()).code, 0);
  assert.doesNotMatch(sandbox.driver.output, /SELinux/);
});

/** Names of a process's threads. */
function threads(pid: number): string[] {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).map((id) => readFileSync(join(folder, id, "comm"), "utf8").trim());
}

/** Waits until somebody reads from the FIFO, and keeps them waiting. */
async function openForReader(fifo: string): Promise<number> {
  for (;;) {
    try {
      return openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENXIO");
    }
    await delay(5);
  }
}

test("the executable has no threads for file access yet when it comes to set the label", REAL, async () => {
  await using sandbox = await Sandbox.create({ flavour: "executable" });
  const fifo = join(sandbox.folder, "config");
  execFileSync("mkfifo", [fifo]);
  // It reads its configuration, and sets the label next.
  const driver = sandbox.launchDriver({ flags: [`--config=${fifo}`] });
  const reader = await openForReader(fifo);
  const early = threads(driver.pid);
  writeSync(reader, "{}\n");
  closeSync(reader);
  await driver.ready();
  assert.ok(!early.includes("libuv-worker"), `${EXECUTABLE} has ${early.join()}`);
  // They have this name, and are there later.
  assert.ok(threads(driver.pid).includes("libuv-worker"), threads(driver.pid).join());
});
