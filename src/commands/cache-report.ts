import type { DiskReport, ListedTree, ListedVolume, PruneReport, TreeOutcome, VerifyOutcome } from "../admin/index.ts";
import { formatBytes } from "../artifact/index.ts";
import { counted } from "../base/index.ts";

/** So many digits of an id or a digest are clear enough for people. */
const SHORT_HEX = 12;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** What the kinds of `cache du` are called. */
const kindNames = {
  blobs: "blobs",
  layers: "unpacked layers",
  trees: "trees' own",
  uppers: "upper layers",
  partials: "partial downloads",
  damaged: "damaged files",
  other: "other",
} as const;

/** `cache ls` for people; ages are reckoned from `nowMs`. */
export function treesText(trees: readonly ListedTree[], nowMs: number): string {
  const rows = trees.map((tree) => [
    tree.id.slice(0, SHORT_HEX),
    referencesText(tree.references),
    shortDigest(tree.manifest),
    formatBytes(tree.sizeBytes),
    tree.createdAt === null ? "-" : ageText(nowMs - Date.parse(tree.createdAt)),
    ageText(nowMs - Date.parse(tree.lastUsedAt)),
    String(tree.volumes),
    notesOf(tree),
  ]);
  return table(["TREE", "REFERENCE", "DIGEST", "SIZE", "AGE", "LAST USE", "VOLUMES", "NOTES"], rows);
}

/** `cache ls --volumes` for people. */
export function volumesText(volumes: readonly ListedVolume[]): string {
  const rows = volumes.map((volume) => [
    volume.namespace,
    volume.pod ?? "-",
    volume.reference ?? "-",
    volume.manifest === null ? "-" : shortDigest(volume.manifest),
    volume.readOnly ? "read-only" : "writable",
    volume.volumeId,
  ]);
  return table(["NAMESPACE", "POD", "REFERENCE", "DIGEST", "KIND", "VOLUME"], rows);
}

/** `cache du` for people. */
export function diskText({ kinds, total, fileSystem }: DiskReport): string {
  const rows = kinds.map(({ kind, bytes, inodes }) => [kindNames[kind], formatBytes(bytes), String(inodes)]);
  const lines = table(["KIND", "SIZE", "INODES"], [...rows, ["total", formatBytes(total.bytes), String(total.inodes)]]);
  const { totalBytes, availableBytes } = fileSystem;
  return `${lines}file system: ${formatBytes(availableBytes)} of ${formatBytes(totalBytes)} available\n`;
}

/** `cache prune` for people. */
export function pruneText({ trees, freedBytes, left }: PruneReport): string {
  const rest = `${counted(left, "tree")} ${left === 1 ? "is" : "are"} left`;
  return `removed ${counted(trees, "tree")}, ${formatBytes(freedBytes)}; ${rest}\n`;
}

/** `cache verify` for people. */
export function verifyText({ counts, faults, mended, left }: VerifyOutcome): string {
  const { blobs, layers, olderLayers, trees, bytes, unknownFiles } = counts;
  const lines = faults.map(({ says }) => says);
  for (const id of mended) lines.push(`tree ${id.slice(0, SHORT_HEX)}: put together again`);
  for (const { id, why } of left) lines.push(`tree ${id.slice(0, SHORT_HEX)}: not mended yet: ${why}`);
  if (olderLayers > 0)
    lines.push(
      olderLayers === 1
        ? "1 unpacked layer is of an older driver: it is fetched anew when it is needed"
        : `${olderLayers} unpacked layers are of an older driver: each is fetched anew when it is needed`,
    );
  if (unknownFiles > 0)
    lines.push(
      unknownFiles === 1
        ? "1 file cannot be verified: the layer that it came from is gone, or of an older driver"
        : `${unknownFiles} files cannot be verified: the layers that they came from are gone, or of an older driver`,
    );
  if (faults.some(({ tree }) => tree !== undefined && !mended.includes(tree)))
    lines.push("damaged trees are mended by the next publish that may fetch, or by oras-csi pull --data-dir");
  const read = [counted(blobs, "blob"), counted(layers, "unpacked layer"), counted(trees, "tree")].join(", ");
  const found = faults.length === 0 ? "all as it should be" : counted(faults.length, "fault");
  lines.push(`read ${formatBytes(bytes)}: ${read}: ${found}`);
  return `${lines.join("\n")}\n`;
}

/** `cache rm`, `pin` and `unpin` for people: a line for each tree. */
export function outcomesText(outcomes: readonly TreeOutcome[], wanted: "remove" | "pin" | "unpin"): string {
  return outcomes.map((outcome) => `${outcomeText(outcome, wanted)}\n`).join("");
}

function outcomeText({ id, references, outcome, holders, freedBytes }: TreeOutcome, wanted: string): string {
  const name = `${id.slice(0, SHORT_HEX)} (${references.at(-1) ?? "no name"})`;
  if (outcome === "removed") return `removed ${name}, ${formatBytes(freedBytes)}`;
  if (outcome === "leased") return `kept ${name}: in use by ${holders.join(", ")}`;
  if (outcome === "pinned" && wanted === "remove") return `kept ${name}: it is pinned, see oras-csi cache unpin`;
  if (outcome === "gone") return `${name} is gone`;
  return `${outcome} ${name}`;
}

/** The newest reference, and how many others there are. */
function referencesText(references: readonly string[]): string {
  const others = references.length > 1 ? ` +${references.length - 1}` : "";
  return `${references.at(-1) ?? "-"}${others}`;
}

function notesOf({ pinned, damage, volumes, leases }: ListedTree): string {
  const notes = [
    pinned ? "pinned" : "",
    leases > volumes ? "being used" : "",
    damage === null ? "" : `damaged: ${damage}`,
  ];
  return notes.filter((note) => note !== "").join(", ");
}

function shortDigest(digest: string): string {
  const [algorithm, hex = ""] = digest.split(":");
  return `${algorithm}:${hex.slice(0, SHORT_HEX)}`;
}

/** How long something is ago, in its largest unit; a time in the future is now. */
function ageText(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / 1000))}s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)}m`;
  return ms < 2 * DAY_MS ? `${Math.floor(ms / HOUR_MS)}h` : `${Math.floor(ms / DAY_MS)}d`;
}

/** Columns as wide as their widest cell. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return [head, ...rows].map((cells) => `${line(cells)}\n`).join("");
}
