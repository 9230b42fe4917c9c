import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Driver, mountsBelow, PluginManager, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL } from "./support.ts";

/** What the chart's pod requests, and a tenth of a CPU. */
const MEMORY_BYTES = 128 * 1024 * 1024;
const CPU_PERIOD_US = 100_000;
const CPU_QUOTA_US = 10_000;
const FOREIGN_MOUNTS = 3_000;
const IDLE_CONNECTIONS = 1_000;

/** Limits for what is started with `prefix`, by cgroups of either version; undefined where none can be made. */
function useLimits(name: string) {
  const root = "/sys/fs/cgroup";
  const isV2 = existsSync(join(root, "cgroup.controllers"));
  const settings = isV2
    ? { [join(root, name)]: { "memory.max": MEMORY_BYTES, "cpu.max": `${CPU_QUOTA_US} ${CPU_PERIOD_US}` } }
    : {
        [join(root, "memory", name)]: { "memory.limit_in_bytes": MEMORY_BYTES },
        [join(root, "cpu", name)]: { "cpu.cfs_period_us": CPU_PERIOD_US, "cpu.cfs_quota_us": CPU_QUOTA_US },
      };
  const folders = Object.keys(settings);
  const remove = () => {
    for (const folder of folders) if (existsSync(folder)) rmdirSync(folder);
  };
  try {
    for (const [folder, files] of Object.entries(settings)) {
      mkdirSync(folder);
      for (const [file, value] of Object.entries(files)) writeFileSync(join(folder, file), String(value));
    }
  } catch {
    remove();
    return undefined;
  }
  const enter = folders.map((folder) => `echo $$ > ${folder}/cgroup.procs`).join(" && ");
  return { prefix: ["sh", "-c", `${enter} && exec "$@"`, "sh"], [Symbol.dispose]: remove };
}

/** Thousands of mounts that are none of the driver's, with names that the mount table escapes. */
function useForeignMounts(): { readonly folder: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-foreign-"));
  const mount = (...args: string[]) => execFileSync("mount", ["--no-mtab", ...args]);
  mount("-t", "tmpfs", "tmpfs", folder);
  // Else each copy below would be seen in all others, too.
  mount("--make-private", folder);
  for (const name of ["plain", "with blank", "tab\there", "back\\slash", "new\nline", "#hash", "\\040", "ümläut"]) {
    mkdirSync(join(folder, name));
    mount("--bind", join(folder, name), join(folder, name));
  }
  for (let copy = 0; mountsBelow(folder).length < FOREIGN_MOUNTS; copy++) {
    mkdirSync(join(folder, `${copy}`));
    mount("--rbind", folder, join(folder, `${copy}`));
  }
  return {
    folder,
    [Symbol.dispose]() {
      execFileSync("umount", ["--lazy", folder]);
      rmdirSync(folder);
    },
  };
}

async function openIdle(path: string, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const socket = connect(path).on("error", () => undefined);
    await once(socket, "connect");
    sockets.push(socket);
  }
  return sockets;
}

function openFiles({ pid }: Driver): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

test(
  "a busy node with small limits: kubelet is answered in time, volumes come and go, nothing leaks",
  REAL,
  async (t) => {
    using limits = useLimits(`oras-csi-test-${process.pid}`);
    if (limits === undefined) t.diagnostic("no cgroup can be made here: without limits");
    await using registry = await EmbeddedRegistry.start();
    const layers = [fileLayer("a", "a\n"), await folderLayer("folder", { b: "b\n" })];
    const reference = await pushThing(registry, artifact(layers));
    await using sandbox = await Sandbox.create();
    using foreign = useForeignMounts();
    const foreignCount = mountsBelow(foreign.folder).length;
    const registrations = join(sandbox.folder, "registrations");
    mkdirSync(registrations);
    const registrationSocket = join(registrations, "csi.oras.land-reg.sock");
    const flags = [`--registration-dir=${registrations}`, `--kubelet-registration-path=${sandbox.socketPath}`];
    const driver = sandbox.launchDriver({ flags, prefix: limits?.prefix ?? [] });
    await driver.ready();
    const volumes = [true, false].map((readOnly) =>
      sandbox.kubelet.volume({ attributes: attributes(reference), readOnly }),
    );
    const round = async () => {
      for (const volume of volumes) {
        await volume.publish();
        assert.equal(readFileSync(join(volume.targetPath, "folder/b"), "utf8"), "b\n");
        await volume.unpublish();
      }
    };
    await round();
    const before = openFiles(driver);

    const idle = [
      ...(await openIdle(sandbox.socketPath, IDLE_CONNECTIONS / 2)),
      ...(await openIdle(registrationSocket, IDLE_CONNECTIONS / 2)),
    ];
    using client = driver.connect();
    // livenessprobe waits 3 s and kubelet one; how long it took is told, as this machine may be busy, too.
    const asked = performance.now();
    assert.equal((await client.probe({ timeoutMs: 10_000 })).ready, true);
    const probed = performance.now();
    using plugins = new PluginManager(registrations);
    await plugins.register(registrationSocket);
    const registered = performance.now();
    await round();
    t.diagnostic(`Probe in ${Math.round(probed - asked)} ms, registered in ${Math.round(registered - probed)} ms`);

    for (const socket of idle) socket.destroy();
    assert.equal(mountsBelow(foreign.folder).length, foreignCount, "what is foreign stays");
    while (openFiles(driver) > before + 2) assert.equal((await client.probe({ timeoutMs: 5_000 })).ready, true);
    await assertNothingLeft(sandbox);
    assert.equal((await driver.stop()).code, 0);
  },
);
