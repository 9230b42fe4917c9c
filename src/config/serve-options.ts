import { type HttpAddress, httpEndpoint } from "./http-address.ts";
import type { OptionTable } from "./option.ts";
import {
  boolean,
  driverName,
  duration,
  integer,
  logLevel,
  nodeId,
  oneOf,
  path,
  registryGlobs,
  selinuxLabel,
  size,
  unixEndpoint,
} from "./parsers.ts";

/** What the flags of `serve` say, one field a flag, before anything is derived from them. */
export interface ServeValues {
  /** Path of the CSI socket. */
  readonly csiEndpoint: string;
  readonly nodeId: string | undefined;
  readonly dataDir: string | undefined;
  readonly driverName: string;
  readonly rootDir: string | undefined;
  readonly pluginDataDir: string | undefined;
  readonly mode: "node" | undefined;
  readonly handlersCount: number | undefined;
  readonly orasLogging: boolean | undefined;
  readonly sanityTestRun: boolean | undefined;
  readonly enforceNamespaces: boolean;
  readonly registrationDir: string | undefined;
  readonly kubeletDir: string;
  /** Path of the CSI socket as kubelet sees it. */
  readonly kubeletRegistrationPath: string | undefined;
  readonly httpEndpoint: HttpAddress | "off";
  readonly concurrency: number;
  readonly maxPulls: number;
  /** Bytes a second. */
  readonly maxBandwidth: number | undefined;
  /** Milliseconds. */
  readonly stallTimeout: number;
  readonly maxArtifactBytes: number | undefined;
  /** 0: no limit. */
  readonly maxUnpackRatio: number;
  readonly cacheMaxBytes: number | undefined;
  /** Milliseconds. */
  readonly cacheTtl: number | undefined;
  readonly cacheHighPercent: number;
  readonly cacheLowPercent: number;
  readonly cacheMinPercent: number;
  readonly allowRegistry: readonly string[] | undefined;
  readonly registryHostsDir: string;
  readonly dockerConfig: string | undefined;
  readonly imageCredentialProviderConfig: string | undefined;
  readonly imageCredentialProviderBinDir: string | undefined;
  readonly caFile: string | undefined;
  readonly selinuxLabel: string;
  readonly logLevel: "error" | "warn" | "info" | "debug" | "trace";
  readonly logFormat: "json" | "text";
  readonly config: string | undefined;
}

/** Where the data are when neither `--data-dir` nor one of the Go driver's two flags says so. */
export const DEFAULT_DATA_DIR = "/var/lib/oras-csi";
/** Of commands that pull without a driver, too. */
export const DEFAULT_MAX_UNPACK_RATIO = 200;

const UNSET = { defaultValue: undefined, defaultText: "unset" } as const;

/**
 * The options of `serve`, in the order in which `--help` and the docs show them. Parsing, `--help`, the environment's
 * names, the file's keys and the table in docs/flags.md all come from here.
 */
export const serveOptions: OptionTable<ServeValues> = {
  csiEndpoint: {
    description: "unix socket of the CSI services: unix:///abs, unix:/abs or /abs, at most 107 bytes",
    parser: unixEndpoint(),
    defaultValue: "/csi/csi.sock",
    defaultText: "unix:///csi/csi.sock",
  },
  nodeId: {
    description: "this node's name, 1 to 192 bytes without blanks",
    parser: nodeId(),
    defaultValue: undefined,
    defaultText: "$NODE_ID, $KUBE_NODE_NAME, hostname",
  },
  dataDir: {
    description: "folder of the cache and of the volume records",
    parser: path(),
    defaultValue: undefined,
    defaultText: DEFAULT_DATA_DIR,
  },
  driverName: {
    description: "name of the CSI driver, as in the CSIDriver object and in pods",
    parser: driverName(),
    defaultValue: "csi.oras.land",
    defaultText: "csi.oras.land",
  },
  rootDir: {
    description:
      "the Go driver's: without --data-dir, the data dir is root-dir/plugin-data-dir, where one that is not given is /",
    parser: path(),
    ...UNSET,
  },
  pluginDataDir: { description: "the Go driver's: see --root-dir", parser: path(), ...UNSET },
  mode: { description: "the Go driver's: node is accepted, without effect", parser: oneOf(["node"]), ...UNSET },
  handlersCount: { description: "the Go driver's: accepted, without effect", parser: integer(0), ...UNSET },
  orasLogging: { description: "the Go driver's: accepted, without effect", parser: boolean(), ...UNSET },
  sanityTestRun: { description: "the Go driver's: accepted, without effect", parser: boolean(), ...UNSET },
  enforceNamespaces: {
    description:
      "cached bytes serve a namespace only if the registry allowed it their repository and they were fetched from there",
    parser: boolean(),
    defaultValue: true,
    defaultText: "true",
  },
  registrationDir: {
    description: "kubelet's plugins_registry folder: plugin registration is served from <driver-name>-reg.sock there",
    parser: path(),
    ...UNSET,
  },
  kubeletDir: {
    description: "kubelet's root folder: /readyz checks that mounts below its pods folder reach the host",
    parser: path(),
    defaultValue: "/var/lib/kubelet",
    defaultText: "/var/lib/kubelet",
  },
  kubeletRegistrationPath: {
    description: "the CSI socket as kubelet sees it: what registration tells it",
    parser: unixEndpoint(),
    defaultValue: undefined,
    defaultText: "<kubelet-dir>/plugins/<driver-name>/csi.sock",
  },
  httpEndpoint: {
    description: "address of /healthz, /readyz and /metrics; a taken port is tried again and stops nothing else",
    parser: httpEndpoint(),
    defaultValue: "off",
    defaultText: "off",
  },
  concurrency: {
    description: "blobs at once in one pull, 1 to 64",
    parser: integer(1, 64),
    defaultValue: 4,
    defaultText: "4",
  },
  maxPulls: { description: "pulls at once on the node", parser: integer(1), defaultValue: 4, defaultText: "4" },
  maxBandwidth: { description: "bytes a second that all pulls together take", parser: size(), ...UNSET },
  stallTimeout: {
    description: "a connection that brings no byte for so long is cut, and the blob is gone on with over another one",
    parser: duration(),
    defaultValue: 30_000,
    defaultText: "30s",
  },
  maxArtifactBytes: {
    description: "larger artifacts are refused, by the sum of the layers that are wanted",
    parser: size(),
    ...UNSET,
  },
  maxUnpackRatio: {
    description:
      "the tar layers of an artifact unpack to at most the larger of 1 GiB and this many times their packed size; 0: no limit",
    parser: integer(0),
    defaultValue: DEFAULT_MAX_UNPACK_RATIO,
    defaultText: String(DEFAULT_MAX_UNPACK_RATIO),
  },
  cacheMaxBytes: {
    description: "the cache holds so much at most, what pods write into their volumes included",
    parser: size(),
    ...UNSET,
  },
  cacheTtl: {
    description: "trees that no volume has had for so long are removed",
    parser: duration(),
    ...UNSET,
  },
  cacheHighPercent: {
    description: "above it, by bytes or inodes of the data dir's file system, collection begins",
    parser: integer(1, 99),
    defaultValue: 75,
    defaultText: "75",
  },
  cacheLowPercent: {
    description: "collection goes down to it; below --cache-high-percent",
    parser: integer(1, 99),
    defaultValue: 70,
    defaultText: "70",
  },
  cacheMinPercent: {
    description: "so much of the file system is left to the cache where others filled it; below --cache-low-percent",
    parser: integer(1, 99),
    defaultValue: 10,
    defaultText: "10",
  },
  allowRegistry: {
    description:
      "glob on registry/repository (* stays within a / part, ** crosses), repeatable: what none of them matches is refused",
    parser: registryGlobs(),
    defaultValue: undefined,
    defaultText: "all",
  },
  registryHostsDir: {
    description: "folder with mirrors, CAs and TLS settings per registry, in the form of containerd's hosts.toml",
    parser: path(),
    defaultValue: "/etc/containerd/certs.d",
    defaultText: "/etc/containerd/certs.d",
  },
  dockerConfig: {
    description: "docker config.json with credentials for all pulls on the node",
    parser: path(),
    ...UNSET,
  },
  imageCredentialProviderConfig: {
    description: "kubelet's CredentialProviderConfig (YAML or JSON): plugins that are asked for credentials",
    parser: path(),
    ...UNSET,
  },
  imageCredentialProviderBinDir: {
    description: "folder of the plugins that --image-credential-provider-config names",
    parser: path(),
    ...UNSET,
  },
  caFile: {
    description: "PEM file of roots added to the built-in ones, for registries and token servers",
    parser: path(),
    ...UNSET,
  },
  selinuxLabel: {
    description: "put on everything written to the cache where SELinux is on; a failure is logged once",
    parser: selinuxLabel(),
    defaultValue: "system_u:object_r:container_file_t:s0",
    defaultText: "system_u:object_r:container_file_t:s0",
  },
  logLevel: {
    description:
      "least severity that is logged; a number is the Go driver's: 2 error, 3 warn, 4 info, 5 debug, 6 trace",
    parser: logLevel(),
    defaultValue: "info",
    defaultText: "info",
  },
  logFormat: {
    description: "one JSON object a line, or text for people",
    parser: oneOf(["json", "text"]),
    defaultValue: "json",
    defaultText: "json",
  },
  config: {
    description: "YAML file with a key for each other flag, read once at start",
    parser: path(),
    ...UNSET,
  },
};
