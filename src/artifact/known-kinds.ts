/** How a layer without a title gets its name, or where its tar is unpacked. */
export type NameRule =
  /** The path that an annotation of the layer gives; a tar whose entries do not begin with it goes below it. */
  | { readonly by: "filepath" }
  /** A tar's entries lie at the volume's root. */
  | { readonly by: "root" }
  /** This name; a second layer of that name is `name-2.ext`. */
  | { readonly by: "name"; readonly name: string }
  /** This name; if there are several, all are numbered as the parts of one model: `name-00001-of-00002.ext`. */
  | { readonly by: "part"; readonly name: string }
  /** The last word of the media type; a second one is `word-2`. */
  | { readonly by: "last-word" }
  /** Chart and version, as the manifest's annotations have them, and this after it. */
  | { readonly by: "chart"; readonly suffix: string };

/** What layers of some media types become. */
export interface LayerRule {
  /** Globs on the media type. */
  readonly mediaTypes: readonly string[];
  /** Whether the layer is a tar that is unpacked; else it is a file. */
  readonly unpacked: boolean;
  /** The first that gives a name counts; where none does, the layer has no meaning. */
  readonly names: readonly NameRule[];
}

/** A kind of artifact whose layers have a meaning without titles. */
export interface KnownKind {
  readonly name: string;
  /** Globs on artifactType and on the config's media type: either tells the kind. */
  readonly types: readonly string[];
  /** The first whose media type fits counts. */
  readonly layers: readonly LayerRule[];
  /** Whether the layers' media types say enough, whatever the artifact calls itself. */
  readonly toldByLayers: boolean;
  /** The file that the config becomes, where it is one. */
  readonly configFile?: string;
}

const byFilepath: NameRule = { by: "filepath" };
const atRoot: NameRule = { by: "root" };
/**
 * The kinds, in the order in which they are tried (contract.md, "Names of what has no title"). Sources: model-spec v0.0.7,
 * docs/annotations.md; docker/model-runner, pkg/distribution; kitops, pkg/lib/constants; the manifests that flux, helm,
 * singularity and ollama push.
 */
export const knownKinds: readonly KnownKind[] = [
  {
    name: "ModelPack",
    types: [
      "application/vnd.cncf.model.manifest.v*+json",
      "application/vnd.cncf.model.config.v*+json",
      "application/vnd.cnai.model.manifest.v*+json",
      "application/vnd.cnai.model.config.v*+json",
    ],
    layers: [tar("*/*", byFilepath), file("**", byFilepath)],
    toldByLayers: false,
  },
  {
    name: "Docker model",
    types: ["application/vnd.docker.ai.model.config.v*+json"],
    layers: [
      tar("*/*", byFilepath, atRoot),
      // Models that were pushed before their layers had paths: the names that Docker's own model runner gives them.
      file("application/vnd.docker.ai.gguf.v3", byFilepath, { by: "part", name: "model.gguf" }),
      file("application/vnd.docker.ai.safetensors", byFilepath, { by: "part", name: "model.safetensors" }),
      file("application/vnd.docker.ai.dduf", byFilepath, { by: "name", name: "model.dduf" }),
      file("application/vnd.docker.ai.mmproj", byFilepath, { by: "name", name: "model.mmproj" }),
      file("application/vnd.docker.ai.chat.template.jinja", byFilepath, { by: "name", name: "template.jinja" }),
      file("application/vnd.docker.ai.license", byFilepath, { by: "name", name: "LICENSE" }),
      file("**", byFilepath),
    ],
    toldByLayers: false,
  },
  {
    name: "KitOps ModelKit",
    types: ["application/vnd.kitops.modelkit.config.v*+json", "application/vnd.kitops.modelkit.manifest.v*+json"],
    layers: [tar("application/vnd.kitops.modelkit.*", atRoot)],
    toldByLayers: false,
    configFile: "Kitfile",
  },
  {
    name: "Flux artifact",
    types: ["application/vnd.cncf.flux.config.v*+json"],
    // Its layers had the types of images' before it had types of its own.
    layers: [tar("*/*", atRoot), { mediaTypes: ["*/*.tar.gzip"], unpacked: true, names: [atRoot] }],
    toldByLayers: false,
  },
  {
    name: "Helm chart",
    types: ["application/vnd.cncf.helm.config.v*+json", "application/vnd.cncf.helm.chart.config.v*+json"],
    layers: [
      file("application/vnd.cncf.helm.chart.content.v*.tar+gzip", { by: "chart", suffix: ".tgz" }),
      file("application/vnd.cncf.helm.chart.provenance.v*.prov", { by: "chart", suffix: ".tgz.prov" }),
      file("application/tar+gzip", { by: "chart", suffix: ".tgz" }),
    ],
    toldByLayers: false,
  },
  {
    name: "Singularity image",
    types: ["application/vnd.sylabs.sif.config.v*+json"],
    layers: [file("application/vnd.sylabs.sif.layer.v*.sif", { by: "name", name: "container.sif" })],
    toldByLayers: true,
  },
  {
    name: "Ollama model",
    types: [],
    layers: [file("application/vnd.ollama.image.*", { by: "last-word" })],
    toldByLayers: true,
  },
];

function file(mediaType: string, ...names: readonly NameRule[]): LayerRule {
  return { mediaTypes: [mediaType], unpacked: false, names };
}

/** Tars of a type without its end, which says how they are compressed. */
function tar(mediaType: string, ...names: readonly NameRule[]): LayerRule {
  return { mediaTypes: [`${mediaType}.tar`, `${mediaType}.tar+*`], unpacked: true, names };
}
