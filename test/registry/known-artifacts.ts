import { gzipSync, zstdCompressSync } from "node:zlib";
import { type BuiltLayer, type BuiltManifest, configuredArtifact, layer, rawManifest } from "./artifact-builder.ts";
import { tarOfFolder } from "./folder-layer.ts";

/** An artifact as a tool of its kind pushes it, without titles, and what a volume of it must hold. */
export interface KnownArtifact {
  readonly kind: string;
  readonly manifest: BuiltManifest;
  /** Path -> content. */
  readonly files: Readonly<Record<string, string>>;
  /** Path -> permission bits, of those that are not 0644. */
  readonly modes?: Readonly<Record<string, number>>;
  /** How many layers have no meaning. */
  readonly skipped?: number;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const text = (content: string, mediaType: string, annotations: Record<string, string> = {}) =>
  layer(Buffer.from(content), mediaType, annotations);

/** One of each kind, in all forms that are known of it. */
export async function knownArtifacts(): Promise<readonly KnownArtifact[]> {
  return [
    await modelPack("ModelPack", "cncf"),
    await modelPack("ModelPack under its older names", "cnai"),
    await movedModelPack(),
    dockerModel(),
    await unnamedDockerModel(),
    await kitOps(),
    await flux(),
    helm(),
    unannotatedHelm(),
    sif(),
    ollama(),
  ];
}

/** As modctl pushes it: files raw or as tars that hold them under their paths. */
async function modelPack(kind: string, org: "cncf" | "cnai"): Promise<KnownArtifact> {
  const type = (rest: string) => `application/vnd.${org}.model.${rest}`;
  const at = (path: string, about?: unknown) => ({
    [`org.${org}.model.filepath`]: path,
    ...(about === undefined ? {} : { [`org.${org}.model.file.metadata+json`]: JSON.stringify(about) }),
  });
  const metadata = { name: "x", uid: 1000, gid: 1000, size: 1, mtime: "2025-03-15T14:30:00Z", typeflag: 48 };
  const code = await tarOfFolder(".", { "code/run.py": { content: "print()", mode: 0o750 }, "code/lib/a.py": "a" });
  const layers = [
    text("weights", type("weight.v1.raw"), at("model-00001-of-00001.safetensors", { ...metadata, mode: 0o644 })),
    text("#!/bin/sh", type("code.v1.raw"), at("bin/serve.sh", { ...metadata, mode: 0o4755 })),
    text("private", type("weight.config.v1.raw"), at("config.json", { ...metadata, mode: 0o600 })),
    layer(await tarOfFolder(".", { LICENSE: "MIT" }), type("doc.v1.tar"), at("LICENSE")),
    layer(gzipSync(code), type("code.v1.tar+gzip"), at("code")),
    layer(zstdCompressSync(await tarOfFolder(".", { "data/a.csv": "1" })), type("dataset.v1.tar+zstd"), at("data")),
    text("no path", type("doc.v1.raw")),
  ];
  const config = layer(json({ modelfs: { type: "layers", diffIds: [] } }), type("config.v1+json"));
  return {
    kind,
    manifest: configuredArtifact(config, layers, { artifactType: type("manifest.v1+json") }),
    files: {
      "model-00001-of-00001.safetensors": "weights",
      "bin/serve.sh": "#!/bin/sh",
      "config.json": "private",
      LICENSE: "MIT",
      "code/run.py": "print()",
      "code/lib/a.py": "a",
      "data/a.csv": "1",
    },
    modes: { "bin/serve.sh": 0o755, "code/run.py": 0o754 },
    skipped: 1,
  };
}

/** Tars that hold a folder's files without its path. */
async function movedModelPack(): Promise<KnownArtifact> {
  const tar = await tarOfFolder(".", { "tokenizer.json": "{}", "sub/vocab.txt": "v" });
  const layers = [
    layer(tar, "application/vnd.cncf.model.weight.config.v1.tar", { "org.cncf.model.filepath": "models/tokenizer" }),
    text("w", "application/vnd.cncf.model.weight.v1.raw", { "org.cncf.model.filepath": "models/model.gguf" }),
  ];
  const config = layer(json({}), "application/vnd.cncf.model.config.v1+json");
  return {
    kind: "ModelPack with tars that lack the path",
    manifest: configuredArtifact(config, layers),
    files: {
      "models/tokenizer/tokenizer.json": "{}",
      "models/tokenizer/sub/vocab.txt": "v",
      "models/model.gguf": "w",
    },
  };
}

function dockerModel(): KnownArtifact {
  const at = (path: string) => ({ "org.cncf.model.filepath": path });
  const layers = [
    text("w1", "application/vnd.docker.ai.safetensors", at("model-00001-of-00002.safetensors")),
    text("w2", "application/vnd.docker.ai.safetensors", at("model-00002-of-00002.safetensors")),
    text("{}", "application/vnd.docker.ai.model.file", at("config.json")),
    text("{{ x }}", "application/vnd.docker.ai.chat.template.jinja", at("chat_template.jinja")),
  ];
  const config = layer(json({ config: { format: "safetensors" } }), "application/vnd.docker.ai.model.config.v0.2+json");
  return {
    kind: "Docker model",
    manifest: configuredArtifact(config, layers),
    files: {
      "model-00001-of-00002.safetensors": "w1",
      "model-00002-of-00002.safetensors": "w2",
      "config.json": "{}",
      "chat_template.jinja": "{{ x }}",
    },
  };
}

/** As they were pushed before layers had annotations, such as most of Docker Hub's ai/. */
async function unnamedDockerModel(): Promise<KnownArtifact> {
  const layers = [
    text("g1", "application/vnd.docker.ai.gguf.v3"),
    text("g2", "application/vnd.docker.ai.gguf.v3"),
    text("p", "application/vnd.docker.ai.mmproj"),
    text("Apache", "application/vnd.docker.ai.license"),
    text("MIT", "application/vnd.docker.ai.license"),
    layer(await tarOfFolder(".", { "vocab.json": "{}" }), "application/vnd.docker.ai.vllm.config.tar"),
    text("?", "application/vnd.docker.ai.something.new"),
  ];
  const config = layer(json({ config: { format: "gguf" } }), "application/vnd.docker.ai.model.config.v0.1+json");
  return {
    kind: "Docker model without paths",
    manifest: configuredArtifact(config, layers),
    files: {
      "model-00001-of-00002.gguf": "g1",
      "model-00002-of-00002.gguf": "g2",
      "model.mmproj": "p",
      LICENSE: "Apache",
      "LICENSE-2": "MIT",
      "vocab.json": "{}",
    },
    skipped: 1,
  };
}

async function kitOps(): Promise<KnownArtifact> {
  const type = (rest: string) => `application/vnd.kitops.modelkit.${rest}`;
  const kitfile = { manifestVersion: "1.0.0", package: { name: "demo" }, model: { path: "./model/m.gguf" } };
  const layers = [
    layer(gzipSync(await tarOfFolder(".", { "model/m.gguf": "m" })), type("model.v1.tar+gzip")),
    layer(await tarOfFolder(".", { "data/train.csv": "1,2" }), type("dataset.v1.tar")),
    layer(gzipSync(await tarOfFolder(".", { "README.md": "read" })), type("docs.v1.tar+gzip")),
  ];
  return {
    kind: "KitOps ModelKit",
    manifest: configuredArtifact(layer(json(kitfile), type("config.v1+json")), layers),
    files: { Kitfile: JSON.stringify(kitfile), "model/m.gguf": "m", "data/train.csv": "1,2", "README.md": "read" },
  };
}

async function flux(): Promise<KnownArtifact> {
  const tar = await tarOfFolder(".", { "kustomization.yaml": "k", "apps/app.yaml": "a" });
  const config = layer(json({}), "application/vnd.cncf.flux.config.v1+json");
  return {
    kind: "Flux artifact",
    manifest: configuredArtifact(config, [layer(gzipSync(tar), "application/vnd.cncf.flux.content.v1.tar+gzip")]),
    files: { "kustomization.yaml": "k", "apps/app.yaml": "a" },
  };
}

/** As `helm push` makes it: the names are annotations of the manifest. */
function helm(): KnownArtifact {
  const config = layer(json({ name: "demo", version: "1.2.3+4" }), "application/vnd.cncf.helm.config.v1+json");
  const layers = [
    text("chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
    text("signed", "application/vnd.cncf.helm.chart.provenance.v1.prov"),
  ];
  const annotations = { "org.opencontainers.image.title": "demo", "org.opencontainers.image.version": "1.2.3+4" };
  return {
    kind: "Helm chart",
    manifest: configuredArtifact(config, layers, { annotations }),
    files: { "demo-1.2.3+4.tgz": "chart", "demo-1.2.3+4.tgz.prov": "signed" },
  };
}

/** As it was pushed before manifests had annotations: only the config has the names. */
function unannotatedHelm(): KnownArtifact {
  const config = layer(json({ name: "old", version: "0.1.0" }), "application/vnd.cncf.helm.config.v1+json");
  return {
    kind: "Helm chart without annotations",
    manifest: configuredArtifact(config, [text("c", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")]),
    files: { "old-0.1.0.tgz": "c" },
  };
}

function sif(): KnownArtifact {
  const config = layer(json({}), "application/vnd.sylabs.sif.config.v1+json");
  return {
    kind: "Singularity image",
    manifest: configuredArtifact(config, [text("SIF_MAGIC", "application/vnd.sylabs.sif.layer.v1.sif")]),
    files: { "container.sif": "SIF_MAGIC" },
  };
}

/** A Docker manifest with an image's config, as Ollama pushes it. */
function ollama(): KnownArtifact {
  const type = (rest: string) => `application/vnd.ollama.image.${rest}`;
  const layers = [
    text("gguf", type("model")),
    text("{{ .Prompt }}", type("template")),
    text("Apache", type("license")),
    text("Use policy", type("license")),
    text("{}", type("params")),
  ];
  const config = text("{}", "application/vnd.docker.container.image.v1+json");
  const mediaType = "application/vnd.docker.distribution.manifest.v2+json";
  const describe = ({ mediaType: of, digest, bytes }: BuiltLayer) => ({ mediaType: of, digest, size: bytes.length });
  const document = { schemaVersion: 2, mediaType, config: describe(config), layers: layers.map(describe) };
  return {
    kind: "Ollama model",
    manifest: rawManifest(document, [config, ...layers], mediaType),
    files: {
      model: "gguf",
      template: "{{ .Prompt }}",
      license: "Apache",
      "license-2": "Use policy",
      params: "{}",
    },
  };
}
