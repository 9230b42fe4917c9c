import { hash } from "node:crypto";
import type { TreeId } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import { matchesGlob } from "./glob.ts";

/** Which layers of an artifact a volume wants. An empty list of either kind means all. */
export interface Selection {
  /** Exact media types. */
  readonly mediaTypes: readonly string[];
  /** Globs on the whole cleaned title. */
  readonly titles: readonly string[];
}

/** Leaves nothing out. */
export const everything: Selection = { mediaTypes: [], titles: [] };

/** Changes when the same manifest and selection would make other trees than older drivers made. */
const LAYOUT_VERSION = 2;

/** Whether a selection leaves anything out. */
export function isFiltered(selection: Selection): boolean {
  return selection.mediaTypes.length > 0 || selection.titles.length > 0;
}

/** Whether a layer of that media type and cleaned title is wanted. */
export function selects(selection: Selection, mediaType: string, title: string): boolean {
  const typeFits = selection.mediaTypes.length === 0 || selection.mediaTypes.includes(mediaType);
  return typeFits && (selection.titles.length === 0 || selection.titles.some((glob) => matchesGlob(glob, title)));
}

/** The name of the tree that a manifest and a selection make. */
export function treeIdOf(manifest: Digest, selection: Selection): TreeId {
  const sorted = (texts: readonly string[]) => [...new Set(texts)].sort();
  const parts = [LAYOUT_VERSION, manifest, sorted(selection.mediaTypes), sorted(selection.titles)];
  return hash("sha256", JSON.stringify(parts), "hex") as TreeId;
}
