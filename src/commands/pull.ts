import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { exportTree } from "../artifact/index.ts";
import { DriverError } from "../base/index.ts";
import { createLayout, type Tree } from "../cache/index.ts";
import { parseClientCommand, type PullValues, pullOptions, UsageError } from "../config/index.ts";
import { formatReference } from "../oci/index.ts";
import { openAccess } from "./client-access.ts";
import { inClientWords } from "./client-words.ts";
import type { CommandContext } from "./context.ts";
import { type EnginePull, PullEngine } from "./pull-engine.ts";
import { ProgressLine } from "./progress-line.ts";
import { type PulledReport, formatPulled, jsonPulled } from "./pull-report.ts";

/** In the output folder, on its file system: what is half-made lies here, and goes on from here the next time. */
const SCRATCH_NAME = ".oras-csi-pull";
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
    } satisfies EnginePull;
    const report = await pullTo(values, pull, context);
    line.clear();
    context.writeOutput(values.json ? jsonPulled(report) : formatPulled(report));
    return 0;
  } catch (error) {
    line.clear();
    if (!signal.aborted) throw inClientWords(error);
    context.writeError("oras-csi: stopped; what came so far is kept, and the next pull goes on with it\n");
    return INTERRUPTED;
  }
}

async function pullTo(values: PullValues, pull: EnginePull, context: CommandContext): Promise<PulledReport> {
  const { reference } = pull.access;
  const { dataDir } = values;
  const folder = values.output ?? (dataDir === undefined ? "." : undefined);
  const output = folder === undefined ? undefined : resolve(context.cwd, folder);
  if (output !== undefined) makeOutput(output);
  const isScratch = dataDir === undefined;
  const place = dataDir === undefined ? join(output ?? context.cwd, SCRATCH_NAME) : resolve(context.cwd, dataDir);
  const writeLog = (text: string) => context.writeError(text);
  let tree: Tree;
  try {
    await using engine = await PullEngine.open({ dataDir: place, isScratch, writeLog, signal: pull.signal });
    tree = await engine.pull(pull);
    if (values.namespace !== undefined) await engine.cache.references.allow(pull.access.repository, values.namespace);
    if (output !== undefined) exportTree({ tree: tree.folder, target: output, how: isScratch ? "move" : "copy" });
  } catch (error) {
    if (isScratch && !(mayGoOn(error) && holdsDownloads(place))) rmSync(place, { recursive: true, force: true });
    throw error;
  }
  if (isScratch) rmSync(place, { recursive: true, force: true });
  const { manifest, bytes, inodes } = tree;
  return { reference: formatReference(reference), digest: manifest, bytes, inodes, output };
}

function makeOutput(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new DriverError("bad-input", `cannot make the folder ${path} for the files`, error);
  }
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
