export type { CommandContext } from "./context.ts";
export { runCommandLine } from "./run-command-line.ts";
