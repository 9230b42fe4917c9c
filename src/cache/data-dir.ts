import { promises as fs } from "node:fs";
import { DriverError, errnoOf, type Logger } from "../base/index.ts";
import type { JsonObject } from "../oci/index.ts";
import { createLayout, type Layout } from "./layout.ts";
import { numberAt, StateFiles } from "./state-file.ts";

/** The format of the data dir that this driver reads and writes (docs/architecture.md, "The disk"). */
export const DATA_DIR_FORMAT = 1;

/** A data dir whose folders exist. */
export interface DataDir {
  readonly layout: Layout;
  readonly state: StateFiles;
  /** Written by a newer driver: all that is here stays as it is. */
  readonly isNewer: boolean;
  /** Throws "refused" where a newer driver's format is on disk: what is published stays, nothing new is written. */
  requireOwnFormat(): void;
}

/** Makes the folders of a data dir where they are missing, all of them closed to other users, and checks its format. */
export async function openDataDir(path: string, log: Logger): Promise<DataDir> {
  const layout = createLayout(path);
  try {
    await makeFolders(layout);
  } catch (error) {
    throw cannotWrite(path, error);
  }
  const found = await readFormat(layout, log);
  const isNewer = found > DATA_DIR_FORMAT;
  if (isNewer) log.warn("the data dir is of a newer format: nothing new will be published", { path, format: found });
  const corruptFolder = isNewer ? undefined : layout.tmp;
  return {
    layout,
    state: new StateFiles({ temporaryFolder: layout.tmp, corruptFolder, log }),
    isNewer,
    requireOwnFormat() {
      if (!isNewer) return;
      throw new DriverError(
        "refused",
        `the data dir of this node has format ${found}, this driver writes format ${DATA_DIR_FORMAT}: ` +
          "install the newer driver again, or give this one a data dir of its own",
      );
    },
  };
}

/** The error of a data dir that cannot be used. */
export function cannotWrite(path: string, error: unknown): DriverError {
  const why = errnoOf(error) ?? "an unknown error";
  return new DriverError("unavailable", `cannot write the data dir ${path} (${why}): see --data-dir`, error);
}

/** The format on disk; written where there is none or none that can be read. */
async function readFormat(layout: Layout, log: Logger): Promise<number> {
  // A corrupt one is kept beside it: tmp/ is emptied at each start, which this is.
  const state = new StateFiles({ temporaryFolder: layout.tmp, corruptFolder: layout.dataDir, log });
  const found = await state.read(layout.formatFile, formatFrom);
  if (found === undefined) await state.write(layout.formatFile, { format: DATA_DIR_FORMAT });
  return found ?? DATA_DIR_FORMAT;
}

function formatFrom(value: JsonObject): number {
  const format = numberAt(value, "format");
  if (!Number.isSafeInteger(format) || format < 1) throw new Error(`there is no format ${format}`);
  return format;
}

async function makeFolders(layout: Layout): Promise<void> {
  await fs.mkdir(layout.dataDir, { recursive: true, mode: 0o700 });
  await fs.chmod(layout.dataDir, 0o700);
  const folders = [layout.trees, layout.ingest, layout.references, layout.volumes, layout.names, layout.tmp];
  for (const algorithm of ["sha256", "sha512"])
    folders.push(`${layout.blobs}/${algorithm}`, `${layout.layers}/${algorithm}`);
  for (const folder of folders) await fs.mkdir(folder, { recursive: true, mode: 0o700 });
}
