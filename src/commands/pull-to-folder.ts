import { readdirSync } from "node:fs";
import { join } from "node:path";
import { exportTree } from "../artifact/index.ts";
import { DriverError } from "../base/index.ts";
import { createLayout, type Tree } from "../cache/index.ts";
import { type EnginePull, PullEngine } from "./pull-engine.ts";
import { clearWay, removeScratch, scratchIn } from "./scratch-folder.ts";

/** Where the files go. */
export interface FolderPull {
  /** An existing folder; absolute. */
  readonly folder: string;
  /** Warnings and errors. */
  readonly writeLog: (line: string) => void;
}

/** Pulls into a folder, and keeps no cache: nothing but what a pull that may work later can go on with. */
export async function pullToFolder({ folder, writeLog }: FolderPull, pull: EnginePull): Promise<Tree> {
  const scratch = scratchIn(folder);
  clearWay(scratch);
  const { signal, access, onFailedTry } = pull;
  let tree: Tree;
  try {
    await using engine = await PullEngine.open({
      dataDir: scratch,
      isScratch: true,
      writeLog,
      signal,
      access,
      onFailedTry,
    });
    tree = await engine.pull(pull);
    exportTree({ tree: tree.folder, target: folder, how: "move" });
  } catch (error) {
    if (!(mayGoOn(error) && holdsDownloads(scratch))) removeScratch(scratch);
    throw error;
  }
  removeScratch(scratch);
  return tree;
}

/** Whether the same pull may work later. */
function mayGoOn(error: unknown): boolean {
  return error instanceof DriverError && (error.kind === "cancelled" || error.kind === "unavailable");
}

/** Whether a pull that failed left bytes that are worth going on with: more than the manifest. */
function holdsDownloads(dataDir: string): boolean {
  const { ingest, blobs, layers } = createLayout(dataDir);
  const [partial, whole, unpacked] = [ingest, join(blobs, "sha256"), join(layers, "sha256")].map(countIn);
  return (partial ?? 0) + (unpacked ?? 0) > 0 || (whole ?? 0) > 1;
}

function countIn(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    // It was not even made.
    return 0;
  }
}
