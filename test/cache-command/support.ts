import assert from "node:assert/strict";
import type { DiskReport, ListedTree, ListedVolume, TreeOutcome, VerifyOutcome } from "../../src/admin/index.ts";
import { type ProgramRun, runProgram } from "../driver/index.ts";

/** What each command prints with `--json`. */
interface Printed {
  readonly ls: readonly ListedTree[];
  readonly "ls --volumes": readonly ListedVolume[];
  readonly du: DiskReport;
  readonly rm: readonly TreeOutcome[];
  readonly pin: readonly TreeOutcome[];
  readonly unpin: readonly TreeOutcome[];
  readonly prune: { readonly trees: number; readonly freedBytes: number; readonly left: number };
  readonly verify: VerifyOutcome;
  readonly "verify --repair": VerifyOutcome;
}

/** Runs `oras-csi cache` on a data dir, as a process of its own. */
export class CacheCommand {
  readonly dataDir: string;

  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  /** What it prints for people, and how it ends. */
  run(command: string, ...words: readonly string[]): Promise<ProgramRun> {
    return runProgram(["cache", ...command.split(" "), `--data-dir=${this.dataDir}`, ...words]);
  }

  /** What it prints for programs. */
  async json<Name extends keyof Printed>(name: Name, ...words: readonly string[]): Promise<Printed[Name]> {
    const { output, error } = await this.run(name, "--json", ...words);
    assert.notEqual(output, "", error);
    return JSON.parse(output) as Printed[Name];
  }
}
