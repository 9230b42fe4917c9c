import { join } from "node:path";
import { DriverError } from "../base/index.ts";
import { keepsMountsInside, type Mounter } from "../mount/index.ts";
import type { HealthCheck, Registration } from "../server/index.ts";
import type { VolumeService } from "../volume/index.ts";

/** What readiness is asked of. */
export interface ReadinessOptions {
  readonly volumes: Pick<VolumeService, "storageHealth">;
  readonly mounter: Pick<Mounter, "mountHolding">;
  /** Kubelet's root folder. */
  readonly kubeletDir: string;
  /** Undefined: a sidecar registers the driver. */
  readonly registration: Registration | undefined;
}

/** What a driver that lives needs to do its work: it has started, its disk takes data, kubelet and pods can see it. */
export function createReadinessChecks(options: ReadinessOptions): readonly HealthCheck[] {
  const { volumes, mounter, kubeletDir, registration } = options;
  const checks = [
    { name: "the data dir", run: () => checkDataDir(volumes) },
    { name: "the mounts below kubelet's folder", run: () => checkPropagation(mounter, join(kubeletDir, "pods")) },
  ];
  if (registration !== undefined) checks.push({ name: "registration", run: () => checkRegistered(registration) });
  return checks;
}

async function checkDataDir(volumes: ReadinessOptions["volumes"]): Promise<void> {
  const entries = await volumes.storageHealth();
  // A full cache is no reason: what it holds can be published. A full disk is: it takes no records.
  const wrong = entries.find(({ status }) => status === "unreachable");
  if (wrong !== undefined) throw new DriverError("unavailable", wrong.message);
}

/** What is mounted below a private mount stays in this container, and pods find an empty folder. */
async function checkPropagation(mounter: ReadinessOptions["mounter"], podsFolder: string): Promise<void> {
  const mount = await mounter.mountHolding(podsFolder);
  if (mount === undefined || !keepsMountsInside(mount)) return;
  throw new DriverError(
    "refused",
    `mounts below ${podsFolder} do not reach the host: the mount at ${mount.mountPoint} is not shared; ` +
      "set mountPropagation: Bidirectional on that volume mount of the driver's container",
  );
}

async function checkRegistered({ isRegistered }: Registration): Promise<void> {
  if (isRegistered()) return;
  throw new DriverError(
    "unavailable",
    "kubelet has not registered the driver: see --registration-dir and --kubelet-registration-path, and kubelet's log",
  );
}
