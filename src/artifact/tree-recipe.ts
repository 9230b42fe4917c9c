import { isJsonObject, type JsonObject } from "../oci/index.ts";
import type { Repository } from "../registry/index.ts";
import type { Selection } from "./selection.ts";

/** From what a tree was made, beside its manifest: enough to make it again from what the cache has. */
export interface TreeRecipe {
  /** What messages call the artifact: the reference that the tree was first made for. */
  readonly reference: string;
  readonly repository: Repository;
  readonly selection: Selection;
}

/** The recipe as a tree's record keeps it. */
export function recipeToJson({ reference, repository, selection }: TreeRecipe): JsonObject {
  const { registry, repository: name, transport } = repository;
  return { reference, registry, repository: name, transport, ...selection };
}

/** Reads a recipe back; undefined if it is none that this driver understands. */
export function recipeFromJson(value: JsonObject | undefined): TreeRecipe | undefined {
  if (value === undefined || !isJsonObject(value)) return undefined;
  const { reference, registry, repository, transport, mediaTypes, titles } = value;
  if (typeof reference !== "string" || typeof registry !== "string" || typeof repository !== "string") return undefined;
  if (transport !== "https" && transport !== "insecure" && transport !== "http") return undefined;
  if (!isTexts(mediaTypes) || !isTexts(titles)) return undefined;
  return { reference, repository: { registry, repository, transport }, selection: { mediaTypes, titles } };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
