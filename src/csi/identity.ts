import type { ServiceImpl } from "@connectrpc/connect";
import type { Identity } from "../../gen/csi/v1/csi_pb.js";

/** What the Identity service says about the driver. */
export interface IdentityOptions {
  readonly driverName: string;
  readonly vendorVersion: string;
  /** False while the driver starts: records and mounts are being compared. */
  readonly isReady: () => boolean;
}

/**
 * The Identity service. It lists no plugin capability, as there is no controller and no topology. Probe is OK with
 * `ready: false` while the driver starts: that is "healthy, not yet initialised" (CSI 1.13, Identity.Probe).
 */
export function createIdentityService(options: IdentityOptions): ServiceImpl<typeof Identity> {
  return {
    getPluginInfo: () => ({ name: options.driverName, vendorVersion: options.vendorVersion }),
    getPluginCapabilities: () => ({ capabilities: [] }),
    probe: () => ({ ready: options.isReady() }),
  };
}
