import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError, type ErrorKind } from "../../src/base/index.ts";
import {
  type Descriptor,
  type Index,
  type Manifest,
  mediaTypes,
  parseDigest,
  parseManifest,
  selectPlatform,
} from "../../src/oci/index.ts";
import { runFuzz } from "./fuzz-run.ts";
import { mutateBytes } from "./mutate.ts";
import type { Prng } from "../helpers/prng.ts";
import { mutateJson } from "./random-json.ts";

const sha256 = `sha256:${"0123456789abcdef".repeat(4)}`;
const sha512 = `sha512:${"fedcba9876543210".repeat(8)}`;
const annotations = { "org.opencontainers.image.title": "a/b.txt", "io.deis.oras.content.unpack": "true", é: "ü" };
const blob = { mediaType: "application/octet-stream", digest: sha256, size: 5, annotations };
const config = { mediaType: "application/vnd.oci.empty.v1+json", digest: sha256, size: 2, data: "e30=" };
const platform = { os: "linux", architecture: "arm", variant: "v7", "os.features": ["x"] };

const good: readonly [object, ...object[]] = [
  {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: "application/x",
    config,
    layers: [blob, { ...blob, digest: sha512, urls: ["https://a.example/b"] }],
    subject: blob,
    annotations,
  },
  { schemaVersion: 2, config, layers: [blob] },
  {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [
      { ...blob, mediaType: mediaTypes.manifest, platform },
      { ...blob, platform: { os: "linux", architecture: "amd64" } },
      { ...blob, platform: { os: "unknown", architecture: "unknown" } },
    ],
    annotations,
  },
  { schemaVersion: 2, manifests: [{ ...blob, mediaType: mediaTypes.manifest }] },
  { mediaType: mediaTypes.artifactManifest, artifactType: "x", blobs: [blob], subject: config },
];
const words: readonly [string, ...string[]] = [
  mediaTypes.manifest,
  ...Object.values(mediaTypes),
  sha256.toUpperCase(),
  sha256.slice(1),
  `${sha256}0`,
  "sha256:../../../etc/passwd",
  "md5:d41d8cd98f00b204e9800998ecf8427e",
  "linux",
  "arm",
  "v99999999999999999999",
];

test("no mutated manifest makes the parser give what is none, or fail in a way that is not foreseen", async (t) => {
  await runFuzz(t, { iterations: 4000, tryOne: parseMutated });
});

function parseMutated(prng: Prng): string {
  const text = Buffer.from(mutateJson(prng.pick(good), words, prng.pick([0, 5, 20, 100]), prng));
  const bytes = prng.oneIn(2) ? text : mutateBytes(text, Buffer.from(JSON.stringify(prng.pick(good))), prng);
  const contentType = prng.pick([
    undefined,
    undefined,
    "application/json",
    prng.pick(words),
    `${prng.pick(words)};q=1`,
  ]);
  const parsed = unlessKind("refused", () => parseManifest(bytes, contentType));
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  if (parsed === undefined) return "refused";
  checkManifest(parsed);
  assert.deepEqual(
    parseManifest(bytes, parsed.mediaType),
    parsed,
    "it is another with the type that it is said to have",
  );
  if (parsed.kind === "index") {
    const wanted = { os: "linux", architecture: prng.pick(["arm", "amd64"]), variant: prng.pick(["v7", undefined]) };
    const selected = unlessKind("not-found", () => selectPlatform(parsed, wanted, "the index"));
    assert.ok(selected === undefined || parsed.manifests.includes(selected));
  }
  return parsed.kind;
}

/** What the call returns; undefined if it throws an error of this kind. Another one is a finding. */
function unlessKind<T>(kind: ErrorKind, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof DriverError) || error.kind !== kind) throw error;
    assert.ok(error.message.length <= 1000, `the message has ${error.message.length} characters`);
    return undefined;
  }
}

function checkManifest(parsed: Manifest | Index): void {
  assert.equal(typeof parsed.mediaType, "string");
  checkAnnotations(parsed.annotations);
  if (parsed.kind === "index") {
    for (const entry of parsed.manifests) checkDescriptor(entry);
    return;
  }
  assert.equal(parsed.kind, "manifest");
  assert.ok(parsed.artifactType === undefined || typeof parsed.artifactType === "string");
  for (const descriptor of [...parsed.layers, ...(parsed.config === undefined ? [] : [parsed.config])]) {
    checkDescriptor(descriptor);
  }
}

function checkDescriptor(descriptor: Descriptor): void {
  assert.equal(typeof descriptor.mediaType, "string");
  assert.equal(parseDigest(descriptor.digest), descriptor.digest);
  assert.match(descriptor.digest, /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/);
  assert.ok(Number.isSafeInteger(descriptor.size) && descriptor.size >= 0);
  checkAnnotations(descriptor.annotations);
  assert.ok(descriptor.urls.every((url) => typeof url === "string"));
  assert.ok(descriptor.data === undefined || descriptor.data instanceof Uint8Array);
  if (descriptor.platform === undefined) return;
  const { os, architecture, variant } = descriptor.platform;
  assert.ok([os, architecture, variant ?? "v"].every((text) => typeof text === "string"));
}

function checkAnnotations(found: Readonly<Record<string, string>>): void {
  for (const text of Object.values(found)) assert.equal(typeof text, "string");
}
