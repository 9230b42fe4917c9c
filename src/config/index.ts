export { flagsHelp, flagsTable } from "./help.ts";
export { nearestName } from "./nearest.ts";
export type { AnyOptionTable, Option, OptionTable } from "./option.ts";
export { type ScannedArguments, scanArguments, type WrittenFlag } from "./scan-arguments.ts";
export { type ConfigInput, parseConfig, type ServeConfig } from "./serve-config.ts";
export { serveOptions } from "./serve-options.ts";
export { quoted, UsageError } from "./usage-error.ts";
