import { DriverError } from "../base/index.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Index } from "./manifest.ts";
import { indexTypes } from "./media-types.ts";

/** Of a platform in a message: real ones are shorter, but an index may call one anything. */
const MAX_LISTED_CHARACTERS = 30;

/** An operating system and processor, in Go's names (image-spec 1.1, image-index.md, platform). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** Reads `os/arch[/variant]`. Throws "bad-input". */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().toLowerCase().split("/");
  const [os, architecture, variant] = parts;
  if (!os || !architecture || parts.length > 3 || variant === "" || !parts.every((p) => /^[a-z0-9._-]+$/.test(p))) {
    throw new DriverError("bad-input", `platform ${JSON.stringify(text)} is not of the form os/arch[/variant]`);
  }
  return { os, architecture, variant };
}

/** `os/arch[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const variant = platform.variant === undefined ? "" : `/${platform.variant}`;
  return `${platform.os}/${platform.architecture}${variant}`;
}

/** The platform of a machine that Node calls `os` and `arch`. */
export function platformOfMachine(os: string, arch: string): Platform {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" };
  return { os, architecture: names[arch] ?? arch, variant: arch === "arm" ? "v7" : undefined };
}

/**
 * The entry of an index for a platform: the first that is the same; for arm the highest variant that is not above the
 * wanted one. An index with one entry that names no platform means that one. Throws "not-found" that lists what there is.
 */
export function selectPlatform(index: Index, wanted: Platform, what: string): Descriptor {
  const entries = index.manifests.filter((entry) => !isUnknown(entry.platform));
  const only = entries.length === 1 ? entries[0] : undefined;
  if (only !== undefined && only.platform === undefined) return only;
  let best: Descriptor | undefined;
  for (const entry of entries) {
    if (entry.platform === undefined) continue;
    const score = matchScore(entry.platform, wanted);
    if (score > (best?.platform === undefined ? 0 : matchScore(best.platform, wanted))) best = entry;
  }
  if (best !== undefined) return best;
  const there = [...new Set(entries.map((entry) => (entry.platform ? listedName(entry.platform) : "no platform")))];
  const listed = there.length === 0 ? "nothing" : there.slice(0, 20).join(", ");
  throw new DriverError("not-found", `${what} has nothing for platform ${formatPlatform(wanted)}; it has ${listed}`);
}

/** The entries that are an index themselves and name no platform: what is wanted may be in one of them. */
export function nestedIndexes(index: Index): readonly Descriptor[] {
  return index.manifests.filter(({ mediaType, platform }) => platform === undefined && indexTypes.has(mediaType));
}

function listedName(platform: Platform): string {
  const name = formatPlatform(platform);
  return name.length > MAX_LISTED_CHARACTERS ? `${name.slice(0, MAX_LISTED_CHARACTERS)}…` : name;
}

function isUnknown(platform: Platform | undefined): boolean {
  return platform?.os === "unknown" || platform?.architecture === "unknown";
}

/** 0: does not fit; else the higher the better. */
function matchScore(offered: Platform, wanted: Platform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  const have = variantOf(offered);
  const want = variantOf(wanted);
  if (have === want) return Number.MAX_VALUE;
  if (offered.architecture === "arm" && want !== undefined) {
    if (have === undefined) return 1;
    const level = armLevel(have);
    return level <= armLevel(want) ? 1 + level : 0;
  }
  return have === undefined ? 1 : want === undefined && offered.architecture !== "arm64" ? 1 : 0;
}

function variantOf(platform: Platform): string | undefined {
  return platform.architecture === "arm64" ? (platform.variant ?? "v8") : platform.variant;
}

/** 7 for `v7`; NaN, which is not above or below anything, for what is no such variant. */
function armLevel(variant: string): number {
  return Number(/^v?([0-9]+)/.exec(variant)?.[1] ?? Number.NaN);
}
