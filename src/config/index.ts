export {
  type CacheValues,
  cacheListOptions,
  cacheOptions,
  cachePruneOptions,
  cacheVerifyOptions,
  parseCacheCommand,
} from "./cache-options.ts";
export { type ClientConfig, parseClientCommand, type RegistryConfig } from "./client-config.ts";
export type { ClientValues } from "./client-options.ts";
export { flagsHelp, flagsTable } from "./help.ts";
export type { HttpAddress } from "./http-address.ts";
export { type InspectValues, inspectOptions } from "./inspect-options.ts";
export type { AnyOptionTable, OptionTable } from "./option.ts";
export { type PullValues, pullOptions } from "./pull-options.ts";
export { scanArguments } from "./scan-arguments.ts";
export { parseConfig, type ServeConfig } from "./serve-config.ts";
export { DEFAULT_MAX_UNPACK_RATIO, serveOptions } from "./serve-options.ts";
export { quoted, UsageError } from "./usage-error.ts";
