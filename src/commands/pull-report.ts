import { formatBytes } from "../artifact/index.ts";
import { counted } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";

/** What a pull has made. */
export interface PulledReport {
  /** Normalised. */
  readonly reference: string;
  /** Of the manifest. */
  readonly digest: Digest;
  /** Sum of the files' sizes. */
  readonly bytes: number;
  /** Files, folders and links, the root included. */
  readonly inodes: number;
  /** The folder that the files were put into; undefined: they are in the cache only. */
  readonly output: string | undefined;
}

/** The report for programs. */
export function jsonPulled({ reference, digest, bytes, inodes, output }: PulledReport): string {
  const report = { reference, digest, sizeBytes: bytes, entries: inodes - 1, output: output ?? null };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

/** The report for people. */
export function formatPulled({ reference, digest, bytes, inodes, output }: PulledReport): string {
  const entries = counted(inodes - 1, "entry", "entries");
  const where = output === undefined ? "into the cache" : `to ${output}`;
  return `Pulled ${reference} ${where}\nDigest: ${digest}\nSize: ${formatBytes(bytes)} in ${entries}\n`;
}
