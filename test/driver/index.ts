export { createConnectClient } from "./connect-client.ts";
export { type AccessMode, type CsiClient, CsiError, type PublishRequest } from "./csi-client.ts";
export { Driver, type DriverExit, EXECUTABLE, type Flavour, whyNoFlavour } from "./driver.ts";
export { createGrpcJsClient } from "./grpc-js-client.ts";
export { Kubelet, KubeletVolume, type VolumeSpec } from "./kubelet.ts";
export { askLikeLivenessProbe, type ProbeAnswer } from "./liveness-probe.ts";
export { type MountRow, mountsBelow, unmountBelow, whyNoMounts } from "./mounts.ts";
export { type PluginInfo, PluginManager, type RegistryEvent } from "./plugin-manager.ts";
export { Sandbox, type SandboxOptions } from "./sandbox.ts";
