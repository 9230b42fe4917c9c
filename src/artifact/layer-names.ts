import { annotationKeys, type Descriptor, type Manifest, mediaTypes } from "../oci/index.ts";
import { chartName, isFileName, needsChartConfig } from "./chart-name.ts";
import { type KnownKind, knownKinds, type LayerRule, type NameRule } from "./known-kinds.ts";

/** A layer, and what it is called before anybody checked that. */
export interface NamedLayer {
  readonly descriptor: Descriptor;
  /** Its title, or what its kind of artifact calls it; undefined: it has no meaning to us. */
  readonly name: string | undefined;
  /** Whether it is a tar that is unpacked; else it is a file. */
  readonly isTar: boolean;
  /** Whether a tar whose entries do not begin with the name goes below it; else such a tar is refused. */
  readonly movesBelow: boolean;
}

/** What a layer without a title is called before the second one of that name gets a number. */
interface GivenName {
  readonly rule: LayerRule;
  readonly by: NameRule["by"];
  readonly text: string;
}

const ROOT = ".";
/** What RFC 6838 allows at most, both halves and the slash: longer ones are known to nobody. */
const MAX_MEDIA_TYPE_LENGTH = 255;

const compiledKinds = knownKinds.map((kind) => ({
  kind,
  types: kind.types.map(patternOf),
  rules: kind.layers.map((rule) => ({ rule, patterns: rule.mediaTypes.map(patternOf) })),
}));
type CompiledKind = (typeof compiledKinds)[number];
const toldByLayers = compiledKinds.filter(({ kind }) => kind.toldByLayers);

/** The kind that an artifact's type or its config's says it is, else the one that all its layers without titles are of. */
export function knownKindOf(manifest: Manifest): KnownKind | undefined {
  const typed = typedKindOf(manifest);
  if (typed !== undefined) return typed.kind;
  const untitled = layersOf(manifest).filter((layer) => titleOf(layer) === undefined);
  if (untitled.length === 0) return undefined;
  return toldByLayers.find((compiled) => untitled.some((layer) => ruleIn(compiled, layer) !== undefined))?.kind;
}

/** The config, if layers get their names from it: those bytes have to be there when they are named. */
export function namingConfigOf(manifest: Manifest): Descriptor | undefined {
  const { config } = manifest;
  const typed = typedKindOf(manifest);
  if (config === undefined || !typed?.types.some((type) => fits(type, config.mediaType))) return undefined;
  const hasCharts = typed.kind.layers.some(({ names }) => names.some(({ by }) => by === "chart"));
  return hasCharts && needsChartConfig(manifest, config) ? config : undefined;
}

/**
 * Names all layers that are more than the empty descriptor, in the manifest's order; a config that is a file comes first.
 * `config` has the bytes of `namingConfigOf`.
 */
export function nameLayers(manifest: Manifest, config?: Uint8Array): readonly NamedLayer[] {
  const typed = typedKindOf(manifest);
  const layers = layersOf(manifest);
  const chart = chartName(manifest, config);
  const given = layers.map((layer) => (titleOf(layer) === undefined ? givenName(layer, typed, chart) : undefined));
  const numbered = numberNames(given);
  return [
    ...configFileOf(manifest, typed),
    ...layers.map((descriptor, at): NamedLayer => {
      const title = titleOf(descriptor);
      if (title !== undefined) {
        const isTar = descriptor.annotations[annotationKeys.unpack] === "true";
        return { descriptor, name: title, isTar, movesBelow: false };
      }
      const { rule, by } = given[at] ?? {};
      return { descriptor, name: numbered[at], isTar: rule?.unpacked === true, movesBelow: by === "filepath" };
    }),
  ];
}

/** A layer's title; an empty one is none. */
export function titleOf({ annotations }: Descriptor): string | undefined {
  return annotations[annotationKeys.title] || undefined;
}

function layersOf({ layers }: Manifest): readonly Descriptor[] {
  return layers.filter((layer) => layer.mediaType !== mediaTypes.empty || titleOf(layer) !== undefined);
}

function configFileOf({ config }: Manifest, typed: CompiledKind | undefined): readonly NamedLayer[] {
  const name = typed?.kind.configFile;
  if (config === undefined || name === undefined || !typed?.types.some((type) => fits(type, config.mediaType)))
    return [];
  return [{ descriptor: config, name, isTar: false, movesBelow: false }];
}

function typedKindOf({ artifactType, config }: Manifest): CompiledKind | undefined {
  const own = [artifactType, config?.mediaType];
  return compiledKinds.find(({ types }) => types.some((type) => own.some((text) => fits(type, text))));
}

function givenName(layer: Descriptor, typed: CompiledKind | undefined, chart: string): GivenName | undefined {
  for (const compiled of typed === undefined ? toldByLayers : [typed, ...toldByLayers]) {
    const rule = ruleIn(compiled, layer);
    if (rule === undefined) continue;
    for (const name of rule.names) {
      const text = textOf(name, layer, chart);
      if (text !== undefined) return { rule, by: name.by, text };
    }
    return undefined;
  }
  return undefined;
}

function ruleIn({ rules }: CompiledKind, { mediaType }: Descriptor): LayerRule | undefined {
  return rules.find(({ patterns }) => patterns.some((pattern) => fits(pattern, mediaType)))?.rule;
}

function textOf(name: NameRule, { annotations, mediaType }: Descriptor, chart: string): string | undefined {
  switch (name.by) {
    case "filepath":
      return annotations[annotationKeys.filepath] || annotations[annotationKeys.oldFilepath] || undefined;
    case "root":
      return ROOT;
    case "name":
    case "part":
      return name.name;
    case "last-word":
      return mediaType.slice(mediaType.lastIndexOf(".") + 1) || undefined;
    case "chart":
      return isFileName(chart) ? chart + name.suffix : undefined;
  }
}

/** Paths that annotations give and the root are left alone; of other names, the second gets a number. */
function numberNames(given: readonly (GivenName | undefined)[]): readonly (string | undefined)[] {
  const totals = new Map<string, number>();
  for (const one of given) if (one !== undefined) totals.set(one.text, (totals.get(one.text) ?? 0) + 1);
  const seen = new Map<string, number>();
  return given.map((one) => {
    if (one === undefined || one.by === "filepath" || one.by === "root") return one?.text;
    const [number, total] = [(seen.get(one.text) ?? 0) + 1, totals.get(one.text) ?? 1];
    seen.set(one.text, number);
    if (one.by === "part" && total > 1) return withNumber(one.text, `${padded(number)}-of-${padded(total)}`);
    return number === 1 ? one.text : withNumber(one.text, String(number));
  });
}

/** `container.sif` and 2: `container-2.sif`. */
function withNumber(name: string, number: string): string {
  const [, stem = name, extension = ""] = /^(.*?)(\.\w+)?$/s.exec(name) ?? [];
  return `${stem}-${number}${extension}`;
}

/** Llama.cpp and transformers find the other parts of a model by names of this form. */
function padded(number: number): string {
  return String(number).padStart(5, "0");
}

function fits(pattern: RegExp, mediaType: string | undefined): boolean {
  return mediaType !== undefined && mediaType.length <= MAX_MEDIA_TYPE_LENGTH && pattern.test(mediaType);
}

/** The table's own globs only: they are few and harmless, and asked for each of thousands of layers. */
function patternOf(glob: string): RegExp {
  const source = glob
    .split("**")
    .map((part) => part.split("*").map(RegExp.escape).join("[^/]*"))
    .join(".*");
  return new RegExp(`^${source}$`, "s");
}
