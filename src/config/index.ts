export { flagsHelp, flagsTable } from "./help.ts";
export type { HttpAddress } from "./http-address.ts";
export type { AnyOptionTable } from "./option.ts";
export { scanArguments } from "./scan-arguments.ts";
export { parseConfig, type ServeConfig } from "./serve-config.ts";
export { serveOptions } from "./serve-options.ts";
export { quoted, UsageError } from "./usage-error.ts";
