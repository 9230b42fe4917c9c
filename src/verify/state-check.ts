import { promises as fs } from "node:fs";
import { join, relative } from "node:path";
import { unlessMissing } from "../base/index.ts";
import type { DataDir } from "../cache/index.ts";
import type { Fault } from "./verify-calls.ts";

/** What is said of a state file that was moved aside. */
export const UNREADABLE = "cannot be read: it was moved aside, and is made anew with the next publish";

/** Reads all that is noted of references. A file that cannot be read is logged and moved aside by reading it. */
export async function checkReferences({ layout, state }: DataDir): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  for (const repository of await namesIn(layout.references)) {
    for (const kind of ["tags", "namespaces"]) {
      const folder = join(layout.references, repository, kind);
      for (const name of await namesIn(folder)) {
        const path = join(folder, name);
        const fault = { kind: "state", path: relative(layout.dataDir, path), says: UNREADABLE } as const;
        if (name.endsWith(".json"))
          await state.read(
            path,
            () => true,
            () => faults.push(fault),
          );
      }
    }
  }
  return faults;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await unlessMissing(fs.readdir(folder))) ?? [];
}
