import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  artifact,
  type BuiltLayer,
  configuredArtifact,
  fileLayer,
  image,
  layer,
  rawManifest,
  TITLE,
} from "../../test/registry/index.ts";
import { DriverError } from "../base/index.ts";
import { type Manifest, parseManifest } from "../oci/index.ts";
import { planOf } from "./plan.ts";
import type { Selection } from "./selection.ts";

const ALL: Selection = { mediaTypes: [], titles: [] };
const UNPACK = "io.deis.oras.content.unpack";
const DIGEST = "io.deis.oras.content.digest";
const EMPTY = "application/vnd.oci.empty.v1+json";

function manifestOf(
  layers: readonly BuiltLayer[],
  options?: Parameters<typeof artifact>[1],
  built = artifact(layers, options),
): Manifest {
  const parsed = parseManifest(built.bytes, undefined);
  assert.ok(parsed.kind === "manifest");
  return parsed;
}

function folder(title: string, annotations: Record<string, string> = {}): BuiltLayer {
  return layer(Buffer.from(title), "application/x-tar", { [TITLE]: title, [UNPACK]: "true", ...annotations });
}

function imageOf(...contents: readonly string[]) {
  return image(contents.map((content) => ({ packed: Buffer.from(content), diffId: "" })));
}

/** `kind path` of each layer, or the message of what is refused. */
function planned(layers: readonly BuiltLayer[], selection = ALL): string | readonly string[] {
  try {
    return planOf(manifestOf(layers), selection).layers.map(({ kind, path }) => `${kind} ${path}`);
  } catch (error) {
    assert.ok(error instanceof DriverError, String(error));
    return `${error.kind}: ${error.message}`;
  }
}

describe("what layers become", () => {
  const rows: readonly { name: string; layers: readonly BuiltLayer[]; is: readonly string[] }[] = [
    {
      name: "titles name files, in the manifest's order",
      layers: [fileLayer("b", "1"), fileLayer("a/c", "2")],
      is: ["file b", "file a/c"],
    },
    { name: "a tar that says so is a folder", layers: [folder("data")], is: ["folder data"] },
    {
      name: "a tar that says anything else is a file",
      layers: [folder("data", { [UNPACK]: "True" })],
      is: ["file data"],
    },
    { name: "titles are cleaned", layers: [fileLayer("./a//b/../c/", "1")], is: ["file a/c"] },
    { name: "a backslash is a plain character", layers: [fileLayer("a\\..\\b", "1")], is: ["file a\\..\\b"] },
    { name: "a folder may be the root", layers: [folder("."), fileLayer("a", "1")], is: ["folder .", "file a"] },
    { name: "one blob under two titles", layers: [fileLayer("a", "1"), fileLayer("b", "1")], is: ["file a", "file b"] },
    { name: "no title, no file", layers: [layer(Buffer.from("1"), "x/y"), fileLayer("a", "1")], is: ["file a"] },
    { name: "an empty title is none", layers: [fileLayer("", "1"), fileLayer("a", "1")], is: ["file a"] },
    {
      name: "a folder's title and a file's in it",
      layers: [folder("a"), fileLayer("a/b", "1")],
      is: ["folder a", "file a/b"],
    },
    { name: "two folders of one title", layers: [folder("a"), folder("a")], is: ["folder a", "folder a"] },
    {
      name: "a title names its layer's file, whatever the type",
      layers: [fileLayer("a", "{}", EMPTY)],
      is: ["file a"],
    },
    { name: "nothing but the empty descriptor", layers: [layer(Buffer.from("{}"), EMPTY)], is: [] },
    { name: "no layers", layers: [], is: [] },
  ];
  for (const { name, layers, is } of rows) test(name, () => assert.deepEqual(planned(layers), is));

  test("what has no meaning is counted", () => {
    const { skipped } = planOf(
      manifestOf([layer(Buffer.from("1"), "x/y"), fileLayer("a", "1"), fileLayer("", "2")]),
      ALL,
    );
    assert.equal(skipped, 2);
  });

  test("the digest of the unpacked tar counts for folders only", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const file = layer(Buffer.from("1"), "x/y", { [TITLE]: "f", [DIGEST]: digest });
    const plan = planOf(manifestOf([folder("d", { [DIGEST]: digest }), file]), ALL);
    assert.deepEqual(
      plan.layers.map((one) => one.uncompressedDigest),
      [digest, undefined],
    );
  });

  test("an old manifest's blobs are layers", () => {
    const old = {
      mediaType: "application/vnd.oci.artifact.manifest.v1+json",
      artifactType: "x/y",
      blobs: [{ mediaType: "x/y", digest: `sha256:${"a".repeat(64)}`, size: 1, annotations: { [TITLE]: "a" } }],
    };
    const parsed = parseManifest(rawManifest(old, []).bytes, undefined);
    assert.ok(parsed.kind === "manifest");
    assert.deepEqual(
      planOf(parsed, ALL).layers.map(({ path }) => path),
      ["a"],
    );
  });
});

const TAR = "application/vnd.oci.image.layer.v1.tar";

/** An image with a layer of this kind. */
function withLayer(facts: Readonly<Record<string, unknown>>, config = "application/vnd.oci.image.config.v1+json") {
  const digest = `sha256:${"a".repeat(64)}`;
  const manifest = {
    schemaVersion: 2,
    config: { mediaType: config, digest, size: 2 },
    layers: [{ digest, size: 1, ...facts }],
  };
  const parsed = parseManifest(rawManifest(manifest, []).bytes, undefined);
  assert.ok(parsed.kind === "manifest");
  return parsed;
}

describe("images", () => {
  const configs = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
  for (const config of configs) {
    test(`the config decides: ${config}`, () => {
      const plan = planOf(withLayer({ mediaType: `${TAR}+zstd` }, config), ALL);
      const digest = `sha256:${"a".repeat(64)}`;
      assert.deepEqual(plan.layers, [
        { kind: "image", descriptor: { digest, size: 1 }, path: digest, uncompressedDigest: undefined },
      ]);
    });
  }

  test("a title makes an artifact of it", () => {
    const parsed = withLayer({ mediaType: TAR, annotations: { [TITLE]: "a" } });
    assert.deepEqual(
      planOf(parsed, ALL).layers.map(({ kind, path }) => [kind, path]),
      [["file", "a"]],
    );
  });

  test("what the layers are called is not asked, and the empty descriptor is none", () => {
    for (const mediaType of ["", "application/octet-stream", "x/y"])
      assert.equal(planOf(withLayer({ mediaType }), ALL).layers.length, 1, mediaType);
    assert.equal(planOf(withLayer({ mediaType: EMPTY }), ALL).layers.length, 0);
  });

  test("layers stay in their order, one digest as often as it is there", () => {
    const parsed = manifestOf([], {}, imageOf("1", "2", "1"));
    const [first, second, third] = planOf(parsed, ALL).layers.map(({ path }) => path);
    assert.equal(first, third);
    assert.notEqual(first, second);
  });
});

describe("refused", () => {
  const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  const rows: readonly { name: string; layers: readonly BuiltLayer[]; says: RegExp }[] = [
    { name: "a title that leaves the volume", layers: [fileLayer("../x", "1")], says: /^refused: .*leads out/ },
    { name: "an absolute title", layers: [fileLayer("/etc/x", "1")], says: /^refused: .*absolute/ },
    { name: "a title with a NUL", layers: [fileLayer("a\0b", "1")], says: /^refused: .*NUL/ },
    { name: "a file titled .", layers: [fileLayer(".", "1")], says: /^refused: .*names the volume itself/ },
    { name: "a file titled a/..", layers: [fileLayer("a/..", "1")], says: /^refused: .*names the volume itself/ },
    {
      name: "two layers of one file",
      layers: [fileLayer("a/b", "1"), fileLayer("a//b", "2")],
      says: /^refused: two layers are titled "a\/b"/,
    },
    {
      name: "a file where a folder must be",
      layers: [fileLayer("a/b", "1"), fileLayer("a", "2")],
      says: /"a" is a file where layer "a\/b" needs a folder/,
    },
    {
      name: "the same, two levels down",
      layers: [fileLayer("a", "1"), fileLayer("a/b/c", "2")],
      says: /"a" is a file where layer "a\/b\/c"/,
    },
    {
      name: "a folder where a file is",
      layers: [fileLayer("a", "1"), folder("a")],
      says: /"a" is a file where layer "a"/,
    },
    { name: "a digest of no known algorithm", layers: [folder("a", { [DIGEST]: "md5:00" })], says: /^refused: .*md5/ },
    { name: "no titles at all", layers: [layer(Buffer.from("1"), "x/y")], says: /^refused: .*"x\/y" \(1 byte\)/ },
    {
      name: "a media type that is made to confuse readers",
      layers: [layer(Buffer.from("1"), `x/\u001b[2J\n\u202e${"y".repeat(10_000)}`)],
      says: /^refused: .*"x\/\\x1b\[2J\\x0a\\xe2\\x80\\xaey{50,}…y{50,}" \(1 byte\)$/,
    },
    {
      name: "a hundred layers without titles, shortly",
      layers: Array.from({ length: 100 }, (_, i) => layer(Buffer.from(String(i)), "x/y")),
      says: /^refused: .{1,500}and 90 more$/,
    },
  ];
  for (const { name, layers, says } of rows) test(name, () => assert.match(String(planned(layers)), says));

  function withUrls(mediaType: string, title: string): Manifest {
    const entry = {
      mediaType,
      digest: `sha256:${"a".repeat(64)}`,
      size: 1,
      urls: ["http://a/"],
      annotations: { [TITLE]: title },
    };
    const parsed = parseManifest(rawManifest({ schemaVersion: 2, layers: [entry] }, []).bytes, undefined);
    assert.ok(parsed.kind === "manifest");
    return parsed;
  }
  test("a layer that only has urls, unless it is not wanted", () => {
    assert.throws(() => planOf(withUrls(foreign, "a"), ALL), /"a" is not in the registry but at other addresses/);
    assert.equal(planOf(withUrls(foreign, "a"), { mediaTypes: [], titles: ["b"] }).layers.length, 0);
    assert.equal(planOf(withUrls("x/y", "a"), ALL).layers.length, 1, "urls beside what the registry has");
  });

  test("a filter on an image", () => {
    const parsed = manifestOf([], {}, imageOf("1", "2"));
    for (const selection of [
      { mediaTypes: ["x"], titles: [] },
      { mediaTypes: [], titles: ["*"] },
    ])
      assert.throws(() => planOf(parsed, selection), { kind: "bad-input", message: /layers\.\*/ });
  });

  test("an image's layer that is not in the registry", () => {
    const urls = ["https://a/"];
    const parsed = withLayer({ mediaType: foreign, urls });
    assert.throws(() => planOf(parsed, ALL), { kind: "refused", message: /"sha256:a+" is not in the registry but/ });
    assert.equal(
      planOf(withLayer({ mediaType: TAR, urls }), ALL).layers.length,
      1,
      "urls beside what the registry has",
    );
  });

  for (const mediaType of ["application/vnd.in-toto+json", "application/vnd.dev.cosign.simplesigning.v1+json"]) {
    test(`what borrows the config of an image: ${mediaType}`, () => {
      assert.throws(() => planOf(withLayer({ mediaType }), ALL), {
        kind: "refused",
        message: /it has ".*json" \(1 byte\)/,
      });
    });
  }
});

describe("layers named by their kind obey the rules of titles", () => {
  const at = (path: string, end = "raw") =>
    layer(Buffer.from(path + end), `application/vnd.cncf.model.weight.v1.${end}`, { "org.cncf.model.filepath": path });
  const planOfModel = (...layers: readonly BuiltLayer[]) => {
    const config = layer(Buffer.from("{}"), "application/vnd.cncf.model.config.v1+json");
    const parsed = parseManifest(configuredArtifact(config, layers).bytes, undefined);
    assert.ok(parsed.kind === "manifest");
    return planOf(parsed, ALL);
  };
  const rows: readonly { name: string; layers: readonly BuiltLayer[]; says: RegExp }[] = [
    { name: "a path that leaves the volume", layers: [at("../x")], says: /leads out/ },
    { name: "a tar's path that leaves the volume", layers: [at("a/../../x", "tar")], says: /leads out/ },
    { name: "an absolute path", layers: [at("/etc/x")], says: /absolute/ },
    { name: "a file at the root itself", layers: [at("a/..")], says: /names the volume itself/ },
    { name: "two files of one path", layers: [at("a"), at("./a")], says: /two layers/ },
    { name: "a file where a tar needs a folder", layers: [at("a"), at("a/b", "tar")], says: /needs a folder/ },
    { name: "a file and a title", layers: [at("a"), fileLayer("a", "1")], says: /two layers/ },
  ];
  for (const { name, layers, says } of rows) {
    test(`refused: ${name}`, () => assert.throws(() => planOfModel(...layers), { kind: "refused", message: says }));
  }

  test("paths are cleaned, modes and what may move are kept", () => {
    const run = layer(Buffer.from("run"), "application/vnd.cncf.model.code.v1.raw", {
      "org.cncf.model.filepath": "./bin//run",
      "org.cncf.model.file.metadata+json": '{"mode":493}',
    });
    const { layers, skipped } = planOfModel(run, at("data/", "tar"), layer(Buffer.from("?"), "x/y"));
    assert.deepEqual(
      layers.map(({ kind, path, mode, movesBelow }) => ({ kind, path, mode, movesBelow })),
      [
        { kind: "file", path: "bin/run", mode: 0o755, movesBelow: undefined },
        { kind: "folder", path: "data", mode: undefined, movesBelow: true },
      ],
    );
    assert.equal(skipped, 1);
  });
});

describe("selections", () => {
  const layers = [fileLayer("a.txt", "1", "text/plain"), fileLayer("b/c.txt", "2", "text/plain"), folder("d")];
  const rows: readonly { name: string; selection: Partial<Selection>; is: readonly string[] }[] = [
    { name: "media types are exact", selection: { mediaTypes: ["text/plain"] }, is: ["file a.txt", "file b/c.txt"] },
    { name: "no prefix of one", selection: { mediaTypes: ["text/"] }, is: [] },
    { name: "a glob stays in its part", selection: { titles: ["*.txt"] }, is: ["file a.txt"] },
    { name: "two globs", selection: { titles: ["d", "**/c.txt"] }, is: ["file b/c.txt", "folder d"] },
    { name: "a folder is taken or left as a whole", selection: { titles: ["d/x"] }, is: [] },
    { name: "both must fit", selection: { mediaTypes: ["application/x-tar"], titles: ["*"] }, is: ["folder d"] },
  ];
  for (const { name, selection, is } of rows) {
    test(name, () => assert.deepEqual(planned(layers, { ...ALL, ...selection }), is));
  }
  test("what is left out collides with nothing", () => {
    const colliding = [fileLayer("a", "1", "x/one"), fileLayer("a", "2", "x/two")];
    assert.deepEqual(planned(colliding, { ...ALL, mediaTypes: ["x/two"] }), ["file a"]);
  });
});
