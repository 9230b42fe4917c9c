import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { ByteRange } from "../base/index.ts";
import { INGEST_MAP, type LayerForm } from "../cache/index.ts";

/** What is known of a partial download, beside its bytes. */
export interface IngestMap {
  /** Who gave the bytes (`downloadOrigin`). */
  readonly origin: string;
  /** What the cache is to have of it in the end: whoever finds that there can throw this away (`Partials`). */
  readonly form: LayerForm;
  /** The parts that are there; undefined where all bytes of the file are. */
  readonly parts: readonly ByteRange[] | undefined;
}

/** Where the map of an ingest file lies. */
export function ingestMapPath(ingestFile: string): string {
  return `${ingestFile}${INGEST_MAP}`;
}

/** The map of an ingest file; undefined if there is none that can be read: its bytes are worth nothing then. */
export function readIngestMap(ingestFile: string): Omit<IngestMap, "form"> | undefined {
  try {
    const { origin, parts }: Record<string, unknown> = JSON.parse(readFileSync(ingestMapPath(ingestFile), "utf8"));
    if (typeof origin !== "string") return undefined;
    if (parts === undefined) return { origin, parts };
    return Array.isArray(parts) && parts.every(isPair)
      ? { origin, parts: parts.map(([start, end]) => ({ start, end })) }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the map, for a file whose bytes are all there. */
export function writeIngestMap(ingestFile: string, map: IngestMap): void {
  const path = ingestMapPath(ingestFile);
  writeFileSync(`${path}.new`, textOf(map), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Takes the map away. */
export function removeIngestMap(ingestFile: string): void {
  rmSync(ingestMapPath(ingestFile), { force: true, recursive: true });
}

/** The map as it is written. */
export function textOf({ origin, form, parts }: IngestMap): string {
  return `${JSON.stringify({ origin, form, ...(parts && { parts: parts.map(({ start, end }) => [start, end]) }) })}\n`;
}

function isPair(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every((at) => Number.isSafeInteger(at) && at >= 0);
}
