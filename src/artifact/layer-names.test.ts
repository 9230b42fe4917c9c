import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  artifact,
  type BuiltLayer,
  type BuiltManifest,
  configuredArtifact,
  fileLayer,
  knownArtifacts,
  layer,
} from "../../test/registry/index.ts";
import { type Manifest, parseManifest } from "../oci/index.ts";
import { knownKinds } from "./known-kinds.ts";
import { knownKindOf, nameLayers } from "./layer-names.ts";

function parsed({ bytes, mediaType }: BuiltManifest): Manifest {
  const content = parseManifest(bytes, mediaType);
  assert.ok(content.kind === "manifest");
  return content;
}

const blank = (mediaType: string, annotations: Record<string, string> = {}) =>
  layer(Buffer.from(mediaType), mediaType, annotations);
const config = (mediaType: string) => layer(Buffer.from("{}"), mediaType);

/** Names and, of tars, that they are. */
function named(manifest: Manifest): readonly string[] {
  return nameLayers(manifest).map(({ name = "(none)", isTar, movesBelow }) =>
    isTar ? `tar ${name}${movesBelow ? " or below" : ""}` : name,
  );
}

const ofType = (configType: string, layers: readonly BuiltLayer[], annotations: Record<string, string> = {}) =>
  named(parsed(configuredArtifact(config(configType), layers, { annotations })));

test("each kind is told by what its tools push", async () => {
  const names = new Set<string>();
  for (const { kind, manifest } of await knownArtifacts()) {
    const found = knownKindOf(parsed(manifest))?.name ?? "none";
    assert.ok(kind.startsWith(found), `${kind} is taken for ${found}`);
    names.add(found);
  }
  assert.deepEqual([...names].sort(), knownKinds.map(({ name }) => name).sort(), "each kind is tried");
});

test("any artifact type or config type of a kind tells it", () => {
  for (const { name, types } of knownKinds) {
    for (const type of types.map((glob) => glob.replaceAll("*", "1"))) {
      const byConfig = parsed(configuredArtifact(config(type), [fileLayer("a", "a")]));
      const byArtifactType = parsed(artifact([fileLayer("a", "a")], { artifactType: type }));
      assert.deepEqual([knownKindOf(byConfig)?.name, knownKindOf(byArtifactType)?.name], [name, name]);
    }
  }
});

describe("names", () => {
  const ollama = (word: string) => blank(`application/vnd.ollama.image.${word}`);
  const gguf = (path?: string) =>
    blank("application/vnd.docker.ai.gguf.v3", path === undefined ? {} : { "org.cncf.model.filepath": path });
  const docker = "application/vnd.docker.ai.model.config.v0.1+json";
  const helmLayer = blank("application/vnd.cncf.helm.chart.content.v1.tar+gzip");
  const helm = "application/vnd.cncf.helm.config.v1+json";
  const rows: { name: string; found: readonly string[]; is: readonly string[] }[] = [
    {
      name: "a title wins over what the kind says",
      found: ofType("application/vnd.cncf.model.config.v1+json", [
        blank("application/vnd.cncf.model.weight.v1.tar", {
          "org.cncf.model.filepath": "a",
          "org.opencontainers.image.title": "b.tar",
        }),
      ]),
      is: ["b.tar"],
    },
    {
      name: "layers that are known anywhere are named beside titled ones",
      found: named(parsed(artifact([fileLayer("a", "a"), ollama("model"), blank("x/y")]))),
      is: ["a", "model", "(none)"],
    },
    {
      name: "the third of a name is numbered, too",
      found: named(parsed(artifact([ollama("license"), ollama("license"), ollama("license")]))),
      is: ["license", "license-2", "license-3"],
    },
    {
      name: "two containers",
      found: named(parsed(artifact([1, 2].map(() => blank("application/vnd.sylabs.sif.layer.v1.sif"))))),
      is: ["container.sif", "container-2.sif"],
    },
    { name: "one model alone has no number", found: ofType(docker, [gguf()]), is: ["model.gguf"] },
    {
      name: "a path wins over the usual name",
      found: ofType(docker, [gguf("x/y.gguf"), gguf()]),
      is: ["x/y.gguf", "model.gguf"],
    },
    {
      name: "an empty path is none, the older one counts",
      found: ofType("application/vnd.cncf.model.config.v1+json", [
        blank("application/vnd.cncf.model.doc.v1.raw", {
          "org.cncf.model.filepath": "",
          "org.cnai.model.filepath": "a",
        }),
      ]),
      is: ["a"],
    },
    { name: "an empty path is none", found: ofType(docker, [gguf("")]), is: ["model.gguf"] },
    { name: "a chart without annotations", found: ofType(helm, [helmLayer]), is: ["chart.tgz"] },
    {
      name: "a chart without version",
      found: ofType(helm, [helmLayer], { "org.opencontainers.image.title": "demo" }),
      is: ["demo.tgz"],
    },
    {
      name: "a chart with a name that no file can have",
      found: ofType(helm, [helmLayer], { "org.opencontainers.image.title": "x".repeat(300) }),
      is: ["(none)"],
    },
    {
      name: "a kit whose config is not of its kind is no Kitfile",
      found: named(
        parsed(
          artifact([blank("application/vnd.kitops.modelkit.code.v1.tar")], {
            artifactType: "application/vnd.kitops.modelkit.manifest.v1+json",
          }),
        ),
      ),
      is: ["tar ."],
    },
    {
      name: "Flux pushed tars of images before",
      found: ofType("application/vnd.cncf.flux.config.v1+json", [
        blank("application/vnd.docker.image.rootfs.diff.tar.gzip"),
        blank("application/vnd.oci.image.layer.v1.tar+gzip"),
      ]),
      is: ["tar .", "tar ."],
    },
    {
      name: "ModelPack's tars may lie at their path or below it",
      found: ofType("application/vnd.cnai.model.config.v1+json", [
        blank("application/vnd.cnai.model.layer.v1.tar+gzip", { "org.cnai.model.filepath": "a" }),
      ]),
      is: ["tar a or below"],
    },
    {
      name: "no kind knows a media type longer than any may be",
      found: named(parsed(artifact([ollama("x".repeat(300))]))),
      is: ["(none)"],
    },
  ];
  for (const { name, found, is } of rows) test(name, () => assert.deepEqual(found, is));
});

test("thousands of layers with long media types are named at once", () => {
  const layers = Array.from({ length: 5_000 }, (_, i) =>
    blank(`application/vnd.docker.ai.${".tar+".repeat(100)}/${i}`, { "org.cncf.model.filepath": `f${i}` }),
  );
  const names = ofType("application/vnd.docker.ai.model.config.v0.2+json", layers);
  assert.deepEqual([names.length, new Set(names).size], [5_000, 1]);
});
