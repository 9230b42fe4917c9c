import type { AnyOptionTable } from "../config/index.ts";
import type { CommandContext } from "./context.ts";

/** A command of the command line. */
export interface Command {
  /** Commands of its own, one of which must follow its name. */
  readonly commands?: Readonly<Record<string, Command>>;
  /** One sentence for `oras-csi --help`. */
  readonly summary: string;
  /** What comes after the command's name, for its help; empty: nothing. */
  readonly usage: string;
  /** What else its help says. */
  readonly about?: string;
  /** Command lines as people type them after `oras-csi`. */
  readonly examples?: readonly string[];
  readonly options: AnyOptionTable;
  /** Resolves to the exit code. */
  run(context: CommandContext): Promise<number>;
}
