import assert from "node:assert/strict";
import { test } from "node:test";
import { isJsonObject, parseAnnotations, parseDescriptor } from "./descriptor.ts";
import { digestOf } from "./digest.ts";

const digest = digestOf(Buffer.from("hello"));
const least = { digest, size: 5 };

test("a full descriptor", () => {
  const data = Buffer.from("hello");
  const json = {
    mediaType: "text/plain",
    digest,
    size: 5,
    annotations: { "org.opencontainers.image.title": "a b/ü" },
    platform: { os: "linux", architecture: "arm", variant: "v7", "os.version": "1", features: ["x"] },
    urls: ["https://example.com/x"],
    data: data.toString("base64"),
    artifactType: "ignored",
  };
  const read = parseDescriptor(json, "layers[0]");
  assert.deepEqual(
    { ...read, annotations: { ...read.annotations }, data: Buffer.from(read.data ?? []) },
    {
      mediaType: "text/plain",
      digest,
      size: 5,
      annotations: { "org.opencontainers.image.title": "a b/ü" },
      platform: { os: "linux", architecture: "arm", variant: "v7" },
      urls: ["https://example.com/x"],
      data,
    },
  );
});

test("the least that a descriptor has", () => {
  assert.deepEqual(parseDescriptor(least, "config"), {
    mediaType: "",
    digest,
    size: 5,
    annotations: {},
    platform: undefined,
    urls: [],
    data: undefined,
  });
});

test("null means none, as Go writes it", () => {
  const nothing = { annotations: null, platform: null, urls: null, data: null };
  assert.deepEqual(parseDescriptor({ ...least, ...nothing }, "config"), parseDescriptor(least, "config"));
});

for (const size of [0, 1, Number.MAX_SAFE_INTEGER]) {
  test(`a size of ${size} is one`, () => assert.equal(parseDescriptor({ digest, size }, "x").size, size));
}

/** As deep as JSON may be: nothing that goes down level by level may see it. */
const deep: unknown = JSON.parse(`${"[".repeat(200_000)}${"]".repeat(200_000)}`);

const malformed: [name: string, json: unknown, says: RegExp][] = [
  ["a text", "x", /layers\[3\] is no object/],
  ["a list", [least], /is no object/],
  ["null", null, /is no object/],
  ["no digest", { size: 5 }, /has no digest/],
  ["a digest that is a list", { ...least, digest: [digest] }, /has no digest/],
  ["a digest of another algorithm", { ...least, digest: "md5:00" }, /layers\[3\]: digest "md5:00" is of no known/],
  ["a mediaType that is a number", { ...least, mediaType: 1 }, /mediaType that is no text/],
  ["no size", { digest }, /size that is no count of bytes \(undefined\)/],
  ["a negative size", { digest, size: -1 }, /\(-1\)/],
  ["half a byte", { digest, size: 0.5 }, /\(0.5\)/],
  ["a size in words", { digest, size: "5" }, /\(string\)/],
  ["a size that no number holds exactly", { digest, size: 2 ** 53 }, /\(9007199254740992\)/],
  ["a size without end", { digest, size: Number.POSITIVE_INFINITY }, /\(Infinity\)/],
  ["a size that is very deep", { digest, size: deep }, /\(object\)/],
  ["annotations that are a list", { ...least, annotations: ["a"] }, /annotations that are no object/],
  ["an annotation that is a number", { ...least, annotations: { a: 1 } }, /annotation "a" that is no text/],
  ["urls that are a text", { ...least, urls: "https://x" }, /urls that are no list of texts/],
  ["urls that are numbers", { ...least, urls: [1] }, /urls that are no list of texts/],
  ["data that is an object", { ...least, data: {} }, /data that is no base64/],
];
for (const [name, json, says] of malformed) {
  test(`a malformed descriptor: ${name}`, () => {
    assert.throws(() => parseDescriptor(json, "layers[3]"), { name: "DriverError", kind: "refused", message: says });
  });
}

const withoutPlatform: [name: string, platform: unknown][] = [
  ["a text", "linux/amd64"],
  ["an empty object", {}],
  ["no os", { architecture: "amd64" }],
  ["no architecture", { os: "linux" }],
  ["empty names", { os: "", architecture: "" }],
];
for (const [name, platform] of withoutPlatform) {
  test(`no platform: ${name}`, () => {
    assert.equal(parseDescriptor({ ...least, platform }, "x").platform, undefined);
  });
}

test("an empty variant is none", () => {
  const platform = { os: "linux", architecture: "arm64", variant: "" };
  assert.deepEqual(parseDescriptor({ ...least, platform }, "x").platform, { ...platform, variant: undefined });
});

test("annotations with the names of what all objects have are just annotations", () => {
  const json: unknown = JSON.parse('{"__proto__": "p", "constructor": "c", "toString": "t"}');
  const annotations = parseAnnotations(json, "x");
  assert.deepEqual(Object.entries(annotations), [
    ["__proto__", "p"],
    ["constructor", "c"],
    ["toString", "t"],
  ]);
  assert.deepEqual(Object.entries(structuredClone(annotations)), Object.entries(annotations));
  assert.equal(({} as Record<string, unknown>)["p"], undefined);
});

test("a descriptor gets nothing from a __proto__ key", () => {
  const json: unknown = JSON.parse(`{"__proto__": {"digest": "${digest}", "size": 5}}`);
  assert.throws(() => parseDescriptor(json, "x"), { kind: "refused", message: /has no digest/ });
});

test("what is a JSON object", () => {
  const values = [{}, { a: 1 }, Object.create(null), [], null, undefined, "x", 1, true];
  assert.deepEqual(values.map(isJsonObject), [true, true, true, false, false, false, false, false, false]);
});
