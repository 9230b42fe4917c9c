import { constants, existsSync, promises as fs } from "node:fs";
import { resolve } from "node:path";
import type { PulledTree } from "../admin/index.ts";
import { DriverError, errnoOf, makeFolders } from "../base/index.ts";
import { type PullValues, parseClientCommand, pullOptions, UsageError } from "../config/index.ts";
import { formatReference } from "../oci/index.ts";
import { openAccess } from "./client-access.ts";
import { inClientWords } from "./client-words.ts";
import type { CommandContext } from "./context.ts";
import { tellFirstFailure } from "./first-failure.ts";
import { ProgressLine } from "./progress-line.ts";
import type { EnginePull } from "./pull-engine.ts";
import { pullIntoCache } from "./pull-into-cache.ts";
import { formatPulled, jsonPulled, type PulledReport } from "./pull-report.ts";
import { pullToFolder } from "./pull-to-folder.ts";

const INTERRUPTED = 130;

/** `oras-csi pull REFERENCE -o DIR`: the files of an artifact, without a driver; or an artifact in a driver's cache. */
export async function runPull(context: CommandContext): Promise<number> {
  const { client, values } = parseClientCommand(pullOptions, context);
  if (values.namespace !== undefined && values.dataDir === undefined)
    throw new UsageError("--namespace needs --data-dir: whose cache is meant");
  const signal = context.stopSignal();
  const line = new ProgressLine(context, `pulling ${formatReference(client.reference)}`);
  try {
    const access = await openAccess(client, context);
    const { platform } = client;
    const { concurrency } = values;
    const pull = {
      access,
      platform,
      concurrency,
      signal,
      onProgress: (progress) => line.show(progress),
      onFailedTry: tellFirstFailure((text) => {
        line.clear();
        context.writeError(text);
      }),
    } satisfies EnginePull;
    const report = await pullTo(values, pull, context);
    line.clear();
    context.writeOutput(values.json ? jsonPulled(report) : formatPulled(report));
    return 0;
  } catch (error) {
    line.clear();
    if (!signal.aborted) throw inClientWords(error, values.dataDir === undefined ? "no cache" : "a cache");
    context.writeError("oras-csi: stopped; what came so far is kept, and the next pull goes on with it\n");
    return INTERRUPTED;
  }
}

async function pullTo(values: PullValues, pull: EnginePull, context: CommandContext): Promise<PulledReport> {
  const { cwd } = context;
  const { dataDir, namespace } = values;
  const writeLog = (text: string) => context.writeError(text);
  const folder = resolve(cwd, values.output ?? ".");
  const output = dataDir === undefined || values.output !== undefined ? folder : undefined;
  const isNew = output !== undefined && !existsSync(output);
  if (output !== undefined) await makeOutput(output);
  try {
    const tree =
      dataDir === undefined
        ? await pullToFolder({ folder, writeLog }, pull)
        : await pullIntoCache({ dataDir: resolve(cwd, dataDir), namespace, output, writeLog }, pull);
    return reportOf(tree, pull, output);
  } catch (error) {
    // Unless something is in it.
    if (isNew) await fs.rmdir(folder).catch(() => undefined);
    throw error;
  }
}

function reportOf(
  { manifest: digest, bytes, inodes }: Omit<PulledTree, "id">,
  pull: EnginePull,
  output: string | undefined,
) {
  return { reference: formatReference(pull.access.reference), digest, bytes, inodes, output };
}

async function makeOutput(path: string): Promise<void> {
  try {
    await makeFolders(path);
    await fs.access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = errnoOf(error) ?? "an unknown error";
    const why = code === "EEXIST" || code === "ENOTDIR" ? `${code}: a file is in the way` : code;
    throw new DriverError("bad-input", `cannot write into the folder ${path} (${why}): see --output`, error);
  }
}
