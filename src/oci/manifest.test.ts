import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "./digest.ts";
import { parseManifest } from "./manifest.ts";
import { MAX_MANIFEST_BYTES, mediaTypes } from "./media-types.ts";

const digest = digestOf(Buffer.from("{}"));
const descriptor = { mediaType: "application/octet-stream", digest, size: 2 };
const config = { ...descriptor, mediaType: mediaTypes.empty };
const manifest = { schemaVersion: 2, config, layers: [descriptor] };
const index = { schemaVersion: 2, manifests: [descriptor] };

function read(json: unknown, contentType?: string) {
  return parseManifest(Buffer.from(typeof json === "string" ? json : JSON.stringify(json)), contentType);
}

test("a manifest, all of it", () => {
  const json = {
    ...manifest,
    mediaType: mediaTypes.manifest,
    artifactType: "application/x",
    annotations: { a: "b" },
    subject: descriptor,
    unknown: 1,
  };
  const { annotations, ...rest } = read(json);
  assert.deepEqual({ ...annotations }, { a: "b" });
  const plain = { annotations: {}, platform: undefined, urls: [], data: undefined };
  assert.deepEqual(rest, {
    kind: "manifest",
    mediaType: mediaTypes.manifest,
    artifactType: "application/x",
    config: { ...config, ...plain },
    layers: [{ ...descriptor, ...plain }],
  });
});

test("layers keep their order, equal ones, too", () => {
  const layers = Array.from({ length: 50 }, (_, i) => ({ ...descriptor, size: i % 7 }));
  const parsed = read({ ...manifest, layers });
  assert.equal(parsed.kind, "manifest");
  if (parsed.kind === "manifest")
    assert.deepEqual(
      parsed.layers.map((layer) => layer.size),
      layers.map((layer) => layer.size),
    );
});

const ociManifest = mediaTypes.manifest;
const kinds: [name: string, json: unknown, contentType: string | undefined, kind: string, mediaType: string][] = [
  ["a manifest by its mediaType", { ...manifest, mediaType: ociManifest }, undefined, "manifest", ociManifest],
  ["an index by its mediaType", { ...index, mediaType: mediaTypes.index }, undefined, "index", mediaTypes.index],
  [
    "Docker's manifest",
    { ...manifest, mediaType: mediaTypes.dockerManifest },
    undefined,
    "manifest",
    mediaTypes.dockerManifest,
  ],
  ["Docker's index", { ...index, mediaType: mediaTypes.dockerIndex }, undefined, "index", mediaTypes.dockerIndex],
  ["a manifest by its Content-Type", manifest, mediaTypes.dockerManifest, "manifest", mediaTypes.dockerManifest],
  ["an index by its Content-Type", index, mediaTypes.dockerIndex, "index", mediaTypes.dockerIndex],
  ["a manifest by its layers", { layers: [descriptor] }, undefined, "manifest", ociManifest],
  ["a manifest by its config", { config }, undefined, "manifest", ociManifest],
  ["an artifact manifest by its blobs", { blobs: [descriptor] }, undefined, "manifest", ociManifest],
  ["an index by its manifests", index, undefined, "index", mediaTypes.index],
  ["an empty index by its manifests", { manifests: [] }, undefined, "index", mediaTypes.index],
  ["an empty mediaType", { ...index, mediaType: "" }, undefined, "index", mediaTypes.index],
  ["a mediaType of null", { ...index, mediaType: null }, undefined, "index", mediaTypes.index],
  [
    "an index of none, as Go writes it",
    { mediaType: mediaTypes.index, manifests: null },
    undefined,
    "index",
    mediaTypes.index,
  ],
  ["a manifest of nothing", { mediaType: ociManifest }, undefined, "manifest", ociManifest],
  ["layers of null", { ...manifest, layers: null }, undefined, "manifest", ociManifest],
  ["a config of null", { layers: [], config: null }, undefined, "manifest", ociManifest],
  ["parameters", manifest, `${mediaTypes.dockerManifest}; charset=utf-8`, "manifest", mediaTypes.dockerManifest],
  ["capitals and blanks", manifest, ` ${ociManifest.toUpperCase()} ;x`, "manifest", ociManifest],
  ["text/plain says nothing", { ...index, mediaType: mediaTypes.index }, "text/plain", "index", mediaTypes.index],
  ["octet-stream says nothing", index, "application/octet-stream", "index", mediaTypes.index],
  ["JSON says nothing", { ...manifest, mediaType: ociManifest }, "application/json", "manifest", ociManifest],
  [
    "schema 1's type says nothing",
    manifest,
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "manifest",
    ociManifest,
  ],
  ["an empty Content-Type says nothing", manifest, "", "manifest", ociManifest],
  ["a broken Content-Type says nothing", manifest, ";;;,", "manifest", ociManifest],
  ["a byte order mark", `\ufeff${JSON.stringify(manifest)}`, undefined, "manifest", ociManifest],
];
for (const [name, json, contentType, kind, mediaType] of kinds) {
  test(`the kind of a manifest: ${name}`, () => {
    const parsed = read(json, contentType);
    assert.deepEqual([parsed.kind, parsed.mediaType], [kind, mediaType]);
  });
}

const blobs = [{ ...descriptor, size: 77 }];
const layersOf: [name: string, json: object, sizes: number[]][] = [
  ["blobs in place of layers", { schemaVersion: 2, config, blobs }, [77]],
  ["blobs beside layers of null", { ...manifest, layers: null, blobs }, [77]],
  ["an artifact manifest's blobs", { mediaType: mediaTypes.artifactManifest, blobs }, [77]],
  [
    "an artifact manifest's blobs beside no layers",
    { mediaType: mediaTypes.artifactManifest, blobs, layers: [] },
    [77],
  ],
  ["an artifact manifest's layers", { mediaType: mediaTypes.artifactManifest, layers: [descriptor] }, [2]],
  ["an artifact manifest of nothing", { mediaType: mediaTypes.artifactManifest }, []],
  ["a manifest's layers beside blobs", { ...manifest, blobs }, [2]],
];
test("what layers are does not hang on the Content-Type", () => {
  const parsed = read({ ...manifest, blobs }, mediaTypes.artifactManifest);
  assert.deepEqual(parsed.kind === "manifest" && parsed.layers.map((layer) => layer.size), [2]);
});
for (const [name, json, sizes] of layersOf) {
  test(`what layers are: ${name}`, () => {
    const parsed = read(json);
    assert.deepEqual(parsed.kind === "manifest" && parsed.layers.map((layer) => layer.size), sizes);
  });
}

test("artifactType is a text or none", () => {
  const types = ["a/b", "", null, 1, undefined].map((artifactType) => {
    const parsed = read({ ...manifest, artifactType });
    return parsed.kind === "manifest" && parsed.artifactType;
  });
  assert.deepEqual(types, ["a/b", undefined, undefined, undefined, undefined]);
});

const schema1 = { schemaVersion: 1, name: "x", fsLayers: [{ blobSum: digest }], history: [] };
const refused: [name: string, json: unknown, contentType: string | undefined, says: RegExp][] = [
  ["nothing", "", undefined, /is no JSON$/],
  ["a web page", "<html>secret</html>", "text/html", /is no JSON$/],
  ["JSON that ends in the middle", '{"layers": [', undefined, /is no JSON/],
  ["a list", [manifest], undefined, /is no JSON object/],
  ["null", null, undefined, /is no JSON object/],
  ["a text", '"x"', undefined, /is no JSON object/],
  ["brackets without end", "[".repeat(MAX_MANIFEST_BYTES), undefined, /has more than 250000 values/],
  ["fewer brackets without end", "[".repeat(250_000), undefined, /is no JSON/],
  ["a million layers", { layers: Array(1_000_000).fill({}) }, undefined, /has more than 250000 values/],
  ["schema 1", schema1, undefined, /schema 1, which is not read/],
  [
    "schema 1 by its Content-Type, too",
    schema1,
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    /schema 1/,
  ],
  [
    "schema 1 by its mediaType",
    { mediaType: "application/vnd.docker.distribution.manifest.v1+json" },
    undefined,
    /schema 1/,
  ],
  ["a config, not a manifest", { ...manifest, mediaType: mediaTypes.imageConfig }, undefined, /which is no manifest/],
  ["a mediaType in capitals", { ...manifest, mediaType: ociManifest.toUpperCase() }, undefined, /which is no manifest/],
  ["a mediaType that all objects have", { ...manifest, mediaType: "constructor" }, undefined, /which is no manifest/],
  ["a mediaType that is no text", { ...manifest, mediaType: 1 }, undefined, /mediaType that is no text/],
  [
    "a manifest served as an index",
    { ...manifest, mediaType: ociManifest },
    mediaTypes.index,
    /says that it is .*served it as/,
  ],
  [
    "an OCI manifest served as Docker's",
    { ...manifest, mediaType: ociManifest },
    mediaTypes.dockerManifest,
    /served it as/,
  ],
  ["an index's parts in a manifest", { ...index, mediaType: ociManifest }, undefined, /has the parts of an index/],
  [
    "a manifest's parts in an index",
    { ...manifest, mediaType: mediaTypes.index },
    undefined,
    /has the parts of a manifest/,
  ],
  ["an index's parts served as a manifest", index, ociManifest, /has the parts of an index/],
  ["a manifest's parts served as an index", manifest, mediaTypes.index, /has the parts of a manifest/],
  ["layers and manifests", { ...manifest, ...index }, undefined, /two ways/],
  ["layers and manifests in an index", { ...manifest, ...index, mediaType: mediaTypes.index }, undefined, /two ways/],
  ["an empty object", {}, undefined, /neither layers nor manifests/],
  ["an empty object served as a manifest", {}, ociManifest, /neither layers nor manifests/],
  ["an answer that is an error", { errors: [{ code: "DENIED" }] }, "application/json", /neither layers nor manifests/],
  ["manifests by a __proto__ key", '{"__proto__": {"layers": []}}', undefined, /neither layers nor manifests/],
  ["layers that are an object", { ...manifest, layers: {} }, undefined, /has layers that are no list/],
  ["manifests that are a text", { ...index, manifests: "x" }, undefined, /has manifests that are no list/],
  ["a layer that is null", { ...manifest, layers: [descriptor, null] }, undefined, /layers\[1\] is no object/],
  ["a blob without digest", { blobs: [{}] }, undefined, /blobs\[0\] has no digest/],
  [
    "an entry of an unknown algorithm",
    { manifests: [{ digest: "md5:0", size: 1 }] },
    undefined,
    /manifests\[0\]: digest/,
  ],
  ["a config that is a text", { ...manifest, config: "x" }, undefined, /config is no object/],
  ["annotations that are a list", { ...manifest, annotations: [] }, undefined, /annotations that are no object/],
];
for (const [name, json, contentType, says] of refused) {
  test(`a malformed manifest: ${name}`, () => {
    assert.throws(
      () => read(json, contentType),
      (error: Error & { kind?: string }) => {
        assert.equal(error.kind, "refused");
        assert.match(error.message, says);
        assert.ok(error.message.length < 400 && !error.message.includes("secret"));
        assert.equal(error.cause, undefined);
        return true;
      },
    );
  });
}

test("a manifest has 4 MiB at most, and may have them", () => {
  const text = JSON.stringify({ layers: [], annotations: { a: "" } });
  const largest = text.replace('""', `"${"x".repeat(MAX_MANIFEST_BYTES - text.length)}"`);
  assert.equal(read(largest).kind, "manifest");
  assert.throws(() => read(`${largest} `), { kind: "refused", message: /4194305 bytes, more than the 4194304/ });
});

test("bytes that are no UTF-8 are refused, not replaced", () => {
  const bytes = Buffer.concat([
    Buffer.from('{"layers": [], "annotations": {"a": "'),
    Buffer.of(0xff),
    Buffer.from('"}}'),
  ]);
  assert.throws(() => parseManifest(bytes, undefined), { kind: "refused", message: /is no JSON/ });
});
