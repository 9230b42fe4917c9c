import assert from "node:assert/strict";
import { test } from "node:test";
import { attributes, filesBelow, REAL, rejectsWith } from "../integration/support.ts";
import {
  artifact,
  type BuiltManifest,
  fileLayer,
  image,
  index,
  layer,
  rawManifest,
  sha256Of,
  TITLE,
} from "../registry/index.ts";
import { good, HostileBench } from "./hostile-bench.ts";

const types = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  schema1: "application/vnd.docker.distribution.manifest.v1+prettyjws",
};
const platform = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
const goodDescriptor = {
  mediaType: "text/plain",
  digest: good.digest,
  size: good.bytes.length,
  annotations: { [TITLE]: "good" },
};

/** What is served as a manifest, byte for byte. */
function served(text: string | Buffer, mediaType = types.manifest): BuiltManifest {
  const bytes = Buffer.from(text);
  return { mediaType, digest: sha256Of(bytes), bytes, blobs: [good], children: [] };
}

/** A manifest of the good layer and one whose descriptor is made of this. */
function withLayer(changes: Record<string, unknown>): BuiltManifest {
  const second = { ...goodDescriptor, annotations: { [TITLE]: "second" }, ...changes };
  return rawManifest({ schemaVersion: 2, mediaType: types.manifest, layers: [goodDescriptor, second] }, [good]);
}

function withDocument(changes: Record<string, unknown>, mediaType = types.manifest): BuiltManifest {
  return rawManifest({ schemaVersion: 2, layers: [goodDescriptor], ...changes }, [good], mediaType);
}

function nested(depth: number, open: string, close: string): string {
  return open.repeat(depth) + close.repeat(depth);
}

/** The good manifest in so many indexes, one in the other. */
function indexes(depth: number): BuiltManifest {
  let inner = artifact([good]);
  for (let i = 0; i < depth; i++) inner = index([{ manifest: inner, platform }]);
  return inner;
}

const notJson: Record<string, readonly [says: RegExp, manifest: BuiltManifest]> = {
  "nothing at all": [/is no JSON/, served("")],
  "a page of HTML": [/is no JSON/, served("<html>please log in</html>", "text/html")],
  "half a manifest": [/is no JSON/, served(artifact([good]).bytes.subarray(0, 200))],
  "bytes that are no UTF-8": [
    /is no JSON/,
    served(Buffer.concat([Buffer.from('{"layers":[],"x":"'), Buffer.from([0xff]), Buffer.from('"}')])),
  ],
  "a list": [/no JSON object/, served("[]")],
  "a text": [/no JSON object/, served('"layers"')],
  "a null": [/no JSON object/, served("null")],
  "an empty object": [/neither layers nor manifests/, served("{}")],
  "5 MB": [/more than the 4194304 bytes/, artifact([good], { annotations: { long: "x".repeat(5_000_000) } })],
  "a byte more than 4 MiB of blanks": [/more than the 4194304 bytes/, served(" ".repeat(4 * 1024 * 1024 + 1))],
  "lists within lists": [/more than 250000 values/, served(nested(2_000_000, "[", "]"))],
  "objects within objects, without end": [/more than 250000 values/, served('{"a":'.repeat(800_000))],
};

const badDescriptors: Record<string, readonly [says: RegExp, changes: Record<string, unknown>]> = {
  "a negative size": [/layers\[1\] has a size .*\(-1\)/, { size: -1 }],
  "a huge size": [/layers\[1\] has a size .*\(1e\+300\)/, { size: 1e300 }],
  "a size beyond what numbers count": [/layers\[1\] has a size/, { size: 2 ** 53 }],
  "half a byte": [/layers\[1\] has a size .*\(0\.5\)/, { size: 0.5 }],
  "a size in words": [/layers\[1\] has a size .*\(string\)/, { size: "5" }],
  "no size": [/layers\[1\] has a size/, { size: undefined }],
  "a digest that climbs": [
    /layers\[1\]: digest "sha256:\.\.\/\.\.\/\.\.\/etc\/passwd" is malformed/,
    { digest: "sha256:../../../etc/passwd" },
  ],
  "a digest as long as a good one, that climbs": [
    /layers\[1\]: digest .* is malformed/,
    { digest: `sha256:${"../".repeat(21)}x` },
  ],
  "an algorithm that climbs": [/layers\[1\]: digest .* is of no known algorithm/, { digest: "../sha256:00" }],
  "a digest of MD5": [
    /layers\[1\]: digest "md5:d41d.*" is of no known algorithm/,
    { digest: "md5:d41d8cd98f00b204e9800998ecf8427e" },
  ],
  "an algorithm that all objects have": [/layers\[1\]: digest .* no known/, { digest: "constructor:00" }],
  "a digest in capitals": [
    /layers\[1\]: digest .* is malformed/,
    { digest: good.digest.toUpperCase().replace("SHA", "sha") },
  ],
  "a digest with a NUL": [/layers\[1\]: digest .* is malformed/, { digest: `${good.digest.slice(0, -1)}\0` }],
  "a digest of a megabyte": [/layers\[1\]: digest "sha256:00/, { digest: `sha256:${"0".repeat(1_000_000)}` }],
  "an empty digest": [/layers\[1\]: digest "" is of no known/, { digest: "" }],
  "a digest that is a list": [/layers\[1\] has no digest/, { digest: [good.digest] }],
  "a title that is a number": [
    /layers\[1\] has an annotation .*title" that is no text/,
    { annotations: { [TITLE]: 7 } },
  ],
  "annotations that are a list": [/layers\[1\] has annotations/, { annotations: ["x"] }],
  "a media type that is an object": [/layers\[1\] has a mediaType/, { mediaType: {} }],
  "a tar's digest of an unknown algorithm": [
    /digest "md5:00" is of no known algorithm/,
    {
      annotations: {
        [TITLE]: "second",
        "io.deis.oras.content.unpack": "true",
        "io.deis.oras.content.digest": "md5:00",
      },
    },
  ],
  "a tar's digest that climbs": [
    /digest "sha256:\.\.\/x" is malformed/,
    {
      annotations: {
        [TITLE]: "second",
        "io.deis.oras.content.unpack": "true",
        "io.deis.oras.content.digest": "sha256:../x",
      },
    },
  ],
  "bytes elsewhere only": [
    /"second" is not in the registry/,
    { mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", urls: ["http://127.0.0.1:1/x"] },
  ],
};

const wrongKinds: Record<string, readonly [says: RegExp, manifest: BuiltManifest]> = {
  "a manifest that is served as an index": [/parts of a manifest/, withDocument({}, types.index)],
  "a manifest that says it is an index": [/but the registry served it as/, withDocument({ mediaType: types.index })],
  "a media type that is no manifest's": [
    /"text\/html", which is no manifest/,
    withDocument({ mediaType: "text/html" }),
  ],
  "a media type that is a list": [/mediaType that is no text/, withDocument({ mediaType: [types.manifest] })],
  "both layers and manifests": [/read in two ways/, withDocument({ manifests: [] })],
  "Docker's schema 1": [/schema 1/, withDocument({ schemaVersion: 1, mediaType: types.schema1, fsLayers: [] })],
  "layers that are no list": [/layers that are no list/, withDocument({ layers: { length: 1e9 } })],
  "a config that is a text": [/config is no object/, withDocument({ config: "x" })],
  "no titles": [/has a title/, artifact([layer(Buffer.from("x"), "a/b")])],
  "indexes five deep": [/index of indexes/, indexes(5)],
  "manifests that are no list": [/manifests that are no list/, rawManifest({ manifests: "x" }, [], types.index)],
  "an index entry with a digest that climbs": [
    /manifests\[0\]: digest .* is malformed/,
    rawManifest({ manifests: [{ mediaType: types.manifest, digest: "sha256:../x", size: 1 }] }, [], types.index),
  ],
  "only __proto__ with all that a manifest has": [
    /neither layers nor manifests/,
    served(`{"__proto__": ${artifact([good]).bytes.toString()}}`),
  ],
  "a layer whose __proto__ has its digest": [
    /layers\[0\] has no digest/,
    served(`{"layers": [{"__proto__": ${JSON.stringify(goodDescriptor)}}]}`),
  ],
  "a layer whose annotations' __proto__ has its title": [
    /layers\[0\] has an annotation "__proto__"/,
    served(`{"layers": [{"digest": "${good.digest}", "size": 5, "annotations": {"__proto__": {"${TITLE}": "x"}}}]}`),
  ],
  "annotations within annotations": [
    /more than 250000 values/,
    served(
      `{"layers": [{"digest": "${good.digest}", "size": 5, "annotations": ${'{"a":'.repeat(500_000)}0${"}".repeat(500_000)}}]}`,
    ),
  ],
  "a million layers that are numbers": [/more than 250000 values/, served(`{"layers": [0${",0".repeat(999_999)}]}`)],
  "a million layers that are empty": [/more than 250000 values/, served(`{"layers": [{}${",{}".repeat(999_999)}]}`)],
  "as many layers as there is room for, without titles": [
    /has a title.* and \d+ more$/,
    served(JSON.stringify({ layers: Array(30_000).fill({ mediaType: "a/b", digest: good.digest, size: 5 }) })),
  ],
  "as many layers as there is room for, all of one title": [
    /two layers are titled "good"/,
    served(JSON.stringify({ layers: Array(18_000).fill(goodDescriptor) })),
  ],
};

test("hostile manifests are refused, with nothing left behind", REAL, async (t) => {
  await using bench = await HostileBench.start();
  const refuses = (manifest: BuiltManifest, says: RegExp) =>
    bench.refuses(manifest, { code: "FAILED_PRECONDITION", says });
  for (const [name, [says, manifest]] of Object.entries(notJson)) await t.test(name, () => refuses(manifest, says));
  for (const [name, [says, changes]] of Object.entries(badDescriptors)) {
    await t.test(`a layer with ${name}`, () => refuses(withLayer(changes), says));
  }
  for (const [name, [says, manifest]] of Object.entries(wrongKinds)) await t.test(name, () => refuses(manifest, says));

  await t.test("a container image whose layer is no tar", () =>
    refuses(image([{ packed: good.bytes, diffId: good.digest }]), /./),
  );
  await t.test("an index that names itself has other bytes than it says", async () => {
    const digest = `sha256:${"ab".repeat(32)}`;
    const own = rawManifest({ manifests: [{ mediaType: types.index, digest, size: 300, platform }] }, [], types.index);
    const reference = await bench.push(own);
    bench.registry.fault = ({ path }) => {
      if (!path.endsWith(digest)) return undefined;
      return { kind: "status", status: 200, headers: { "content-type": types.index }, body: own.bytes.toString() };
    };
    await bench.refusesReference(reference, { code: "DATA_LOSS", says: /sha256:abab.*another digest/ });
    bench.registry.fault = undefined;
  });
  await t.test("an index for no platform of ours", () =>
    bench.refuses(index([{ manifest: artifact([good]), platform: { os: "__proto__", architecture: "constructor" } }]), {
      code: "NOT_FOUND",
      says: /has nothing for platform .* it has __proto__\/constructor/,
    }),
  );
  await t.test("a digest that climbs in the reference itself", async () => {
    const attributesOf = attributes(`${bench.registry.host}/team/thing@sha256:../../../etc/passwd`);
    await rejectsWith(bench.sandbox.kubelet.volume({ attributes: attributesOf }).publish(), "INVALID_ARGUMENT");
    await bench.assertUnharmed();
  });

  await t.test("what is deep, odd or long where nobody looks is no reason to refuse", async () => {
    const text = artifact([good]).bytes.toString().slice(1);
    const files = await bench.serves(
      served(`{"__proto__": {"layers": 1}, "deep": ${nested(100_000, "[", "]")}, ${text}`),
    );
    assert.deepEqual(files, { good: "good\n" });
  });
  await t.test("annotations may have the names of what all objects have", async () => {
    const odd = fileLayer("constructor/__proto__/toString", "odd");
    const files = await bench.serves(artifact([good, odd], { annotations: { constructor: "x", toString: "y" } }));
    assert.deepEqual(Object.keys(files), ["constructor/__proto__/toString", "good"]);
  });
  await t.test("as many files as there is room for, all of one blob", async () => {
    const count = 18_000;
    const layers = Array.from({ length: count }, (_, i) => ({ ...goodDescriptor, annotations: { [TITLE]: `f/${i}` } }));
    await bench.serves(served(JSON.stringify({ layers })), async (target) => {
      assert.equal((await filesBelow(target)).length, count);
    });
  });
  await t.test("indexes four deep are followed", async () => {
    assert.deepEqual(await bench.serves(indexes(4)), { good: "good\n" });
  });
  await t.test("the driver goes on serving", () => bench.assertServing());
});
