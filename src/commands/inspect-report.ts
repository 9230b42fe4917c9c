import { type ArtifactDescription, formatBytes, type LayerDescription } from "../artifact/index.ts";
import { counted } from "../base/index.ts";
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type Index,
  type Manifest,
  type Platform,
} from "../oci/index.ts";
import { fitted, wrapped } from "./text-layout.ts";

/** All that `inspect` found out. */
export interface Inspection {
  /** Normalised. */
  readonly reference: string;
  /** Of what the reference itself names: an index or a manifest. */
  readonly digest: Digest;
  readonly index: Index | undefined;
  /** What the manifest was chosen for, if there is an index. */
  readonly platform: Platform;
  /** Undefined where the index has none for the platform. */
  readonly chosen: ChosenManifest | undefined;
}

/** The manifest that a volume is made of. */
export interface ChosenManifest {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly description: ArtifactDescription;
}

/** The inspection for programs; `formatReport` is for people. */
export function jsonReport({ reference, digest, index, platform, chosen }: Inspection): string {
  const platforms = index?.manifests.map((entry) => ({
    platform: entry.platform === undefined ? null : formatPlatform(entry.platform),
    ...plain(entry),
  }));
  const report = {
    reference,
    digest,
    ...(platforms === undefined ? {} : { platform: formatPlatform(platform), platforms }),
    ...(chosen === undefined ? { manifest: null } : { manifest: jsonManifest(chosen) }),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

function jsonManifest({ digest, manifest, description }: ChosenManifest) {
  const { mediaType, artifactType, config, annotations } = manifest;
  const { kind, layers, problem } = description;
  return {
    digest,
    mediaType,
    artifactType: artifactType ?? null,
    configMediaType: config?.mediaType ?? null,
    kind,
    problem: problem ?? null,
    sizeBytes: sizeOf(layers),
    annotations,
    layers: layers.map(({ descriptor, title, becomes, path, mode }) => ({
      ...plain(descriptor),
      title: title ?? null,
      becomes,
      path: path ?? null,
      ...(mode === undefined ? {} : { mode: octal(mode) }),
    })),
  };
}

function plain({ mediaType, digest, size }: Descriptor) {
  return { mediaType, digest, sizeBytes: size };
}

const SIZE_WIDTH = 9;
const BECOMES_WIDTH = "image layer".length;

/** The inspection for people: no line is longer than a terminal's 80 columns, but for the reference itself. */
export function formatReport(inspection: Inspection): string {
  const { reference, digest, index, platform, chosen } = inspection;
  const lines = [`Reference: ${reference}`, `Digest: ${digest}`];
  if (index !== undefined) lines.push(...platformLines(index));
  if (chosen === undefined) lines.push(`Nothing in it is for ${formatPlatform(platform)}: --platform names another.`);
  else {
    if (chosen.digest !== digest) lines.push(`Chosen for ${formatPlatform(platform)}:`, `  ${chosen.digest}`);
    lines.push(...manifestLines(chosen));
  }
  return `${lines.join("\n")}\n`;
}

function platformLines(index: Index): readonly string[] {
  // Of attestations, which nobody pulls.
  const shown = index.manifests.filter((entry) => entry.platform?.os !== "unknown");
  const names = shown.map((entry) =>
    entry.platform === undefined ? entry.mediaType || "no platform" : formatPlatform(entry.platform),
  );
  return wrapped("Platforms: ", [...new Set(names)]);
}

function manifestLines({ manifest, description: { kind, layers, problem } }: ChosenManifest): readonly string[] {
  const type = manifest.artifactType ?? manifest.config?.mediaType;
  return [
    `Kind: ${kind}`,
    ...(type === undefined ? [] : [fitted("Type: ", type)]),
    `Size: ${formatBytes(sizeOf(layers))} in ${counted(layers.length, "blob")}`,
    ...(problem === undefined ? [] : wrapped("Cannot be mounted: ", problem.split(" "), " ")),
    ...(layers.length === 0 ? [] : ["", `${"SIZE".padStart(SIZE_WIDTH)}  ${"BECOMES".padEnd(BECOMES_WIDTH)}  NAME`]),
    ...layers.map(layerLine),
  ];
}

function layerLine({ descriptor, becomes, path, mode }: LayerDescription): string {
  const start = `${formatBytes(descriptor.size).padStart(SIZE_WIDTH)}  ${becomes.padEnd(BECOMES_WIDTH)}  `;
  const type = descriptor.mediaType || "no media type";
  if (path === undefined) return fitted(start, type);
  return fitted(
    start,
    path === "." ? `at the root, ${type}` : path,
    mode === undefined ? "" : ` (mode ${octal(mode)})`,
  );
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

function sizeOf(layers: readonly LayerDescription[]): number {
  return layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
}
