import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, DriverError, systemClock } from "../base/index.ts";
import type { MountEntry } from "../mount/index.ts";
import { HealthChecks } from "../server/index.ts";
import type { StorageHealthEntry } from "../volume/index.ts";
import { createReadinessChecks, type ReadinessOptions } from "./readiness.ts";

const logger = createLogger({ level: "silent", format: "json", write: () => undefined });

/** What a driver with this around it is told; undefined: it is ready. */
function readiness(around: Partial<ReadinessOptions> = {}): Promise<string | undefined> {
  const checks = createReadinessChecks({
    volumes: { storageHealth: async () => [] },
    mounter: { mountHolding: async () => undefined },
    kubeletDir: "/kubelet",
    registration: undefined,
    ...around,
  });
  return new HealthChecks({ name: "readiness", checks, clock: systemClock, logger }).run();
}

function storage(entry: StorageHealthEntry): Partial<ReadinessOptions> {
  return { volumes: { storageHealth: async () => [entry] } };
}

/** A mount that holds the pods folder, and no other. */
function podsOn(mount: Pick<MountEntry, "mountPoint" | "sharedGroup">): Partial<ReadinessOptions> {
  return { mounter: { mountHolding: async (path) => (path === "/kubelet/pods" ? (mount as MountEntry) : undefined) } };
}

const registered = (is: boolean) => ({ registration: { isRegistered: () => is, routes: () => undefined } });
const message = "the disk says no";

const rows: { name: string; around: Partial<ReadinessOptions>; says: RegExp | undefined }[] = [
  { name: "nothing is wrong, and kubelet's folder is elsewhere", around: {}, says: undefined },
  { name: "the driver is starting", around: starting(), says: /^the driver is starting$/ },
  {
    name: "the data dir cannot be written",
    around: storage({ status: "unreachable", reason: "DataDirReadOnly", message }),
    says: /^the disk says no$/,
  },
  {
    name: "the disk is full",
    around: storage({ status: "unreachable", reason: "DataDirFull", message }),
    says: /^the disk says no$/,
  },
  {
    name: "something else is less than good",
    around: storage({ status: "degraded", reason: "X", message }),
    says: undefined,
  },
  {
    name: "the pods folder lies on the root",
    around: podsOn({ mountPoint: "/", sharedGroup: undefined }),
    says: undefined,
  },
  { name: "its mount is shared", around: podsOn({ mountPoint: "/kubelet/pods", sharedGroup: 7 }), says: undefined },
  {
    name: "its mount is private",
    around: podsOn({ mountPoint: "/kubelet", sharedGroup: undefined }),
    says: /^mounts below \/kubelet\/pods do not reach the host: the mount at \/kubelet is not shared; .*Bidirectional/,
  },
  { name: "kubelet has not registered the driver", around: registered(false), says: /^kubelet has not registered/ },
  { name: "kubelet has registered the driver", around: registered(true), says: undefined },
];
for (const { name, around, says } of rows) {
  test(`${says === undefined ? "ready" : "not ready"}: ${name}`, async () => {
    const wrong = await readiness(around);
    if (says === undefined) assert.equal(wrong, undefined);
    else assert.match(wrong ?? "", says);
  });
}

function starting(): Partial<ReadinessOptions> {
  const unavailable = new DriverError("unavailable", "the driver is starting");
  return { volumes: { storageHealth: () => Promise.reject(unavailable) } };
}
