import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { basename, join } from "node:path";
import { DriverError, errnoOf, type Logger, makeFolders, syncFolder, unlessMissing } from "../base/index.ts";
import type { JsonObject } from "../oci/index.ts";
import { createLayout, type Layout } from "./layout.ts";
import { numberAt, StateFiles } from "./state-file.ts";

/** The format of the data dir that this driver reads and writes (docs/architecture.md, "The disk"). */
const DATA_DIR_FORMAT = 1;

/** A data dir whose folders exist. */
export interface DataDir {
  readonly layout: Layout;
  readonly state: StateFiles;
  /** Written by a newer driver: all that is here stays as it is. */
  readonly isNewer: boolean;
  /** Makes what was created, renamed or removed in a folder survive a power cut, if anything in the data dir has to. */
  syncFolder(path: string): Promise<void>;
  /** Makes the folders that are missing: somebody removed them while the driver runs. */
  ensureFolders(): Promise<void>;
  /** Throws "refused" where a newer driver's format is on disk: what is published stays, nothing new is written. */
  requireOwnFormat(): void;
}

/**
 * Makes the folders of a data dir where they are missing, all of them closed to other users, and checks its format. One
 * that is not durable is thrown away later: nothing in it need survive a power cut.
 */
export async function openDataDir(path: string, log: Logger, { isDurable = true } = {}): Promise<DataDir> {
  const layout = createLayout(path);
  // What is corrupt at this time is kept beside its place: tmp/ is emptied at each start, which this is.
  const ownState = new StateFiles({ temporaryFolder: layout.tmp, corruptFolder: path, isDurable, log });
  await orCannotWrite(path, async () => {
    await makeFolders(path, 0o700);
    await fs.chmod(path, 0o700);
  });
  const read = await ownState.read(layout.formatFile, formatFrom);
  const found = read ?? DATA_DIR_FORMAT;
  const isNewer = found > DATA_DIR_FORMAT;
  await orCannotWrite(path, () => makeLayout(layout, isNewer ? undefined : log));
  if (read === undefined) await ownState.write(layout.formatFile, { format: DATA_DIR_FORMAT });
  if (isNewer) log.warn("the data dir is of a newer format: nothing new will be published", { path, format: found });
  const corruptFolder = isNewer ? undefined : layout.tmp;
  return {
    layout,
    state: new StateFiles({ temporaryFolder: layout.tmp, corruptFolder, isDurable, log }),
    isNewer,
    syncFolder: async (folder) => (isDurable ? await syncFolder(folder) : undefined),
    ensureFolders: () => orCannotWrite(path, () => makeLayout(layout, undefined)),
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

function formatFrom(value: JsonObject): number {
  const format = numberAt(value, "format");
  if (!Number.isSafeInteger(format) || format < 1) throw new Error(`there is no format ${format}`);
  return format;
}

async function orCannotWrite(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** With a log, files that are where folders must be are reported and moved aside. */
async function makeLayout(layout: Layout, log: Logger | undefined): Promise<void> {
  const { blobs, layers, trees, ingest, references, volumes, names, tmp } = layout;
  const folders = [blobs, layers, trees, ingest, references, volumes, names, tmp];
  for (const algorithm of ["sha256", "sha512"]) folders.push(join(blobs, algorithm), join(layers, algorithm));
  for (const folder of folders) {
    if (log !== undefined && (await isFile(folder))) {
      const kept = join(layout.dataDir, `corrupt-${randomUUID()}-${basename(folder)}`);
      log.error("a file is where a folder must be: moved aside", { path: folder, kept });
      await fs.rename(folder, kept);
    }
    await makeFolders(folder, 0o700);
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await unlessMissing(fs.lstat(path)))?.isFile() === true;
}
