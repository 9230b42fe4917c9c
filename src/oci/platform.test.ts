import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "./digest.ts";
import { parseManifest } from "./manifest.ts";
import { formatPlatform, parsePlatform, platformOfMachine, selectPlatform } from "./platform.ts";

/** An index of these platforms, in this order; `-` is an entry without. The size tells which entry it is. */
function indexOf(platforms: readonly string[]) {
  const manifests = platforms.map((text, size) => {
    const [os, architecture, variant] = text.split("/");
    return {
      digest: digestOf(Buffer.from(String(size))),
      size,
      ...(text === "-" ? {} : { platform: { os, architecture, variant } }),
    };
  });
  const index = parseManifest(Buffer.from(JSON.stringify({ manifests })), undefined);
  assert.equal(index.kind, "index");
  return index;
}

const chosen: [wanted: string, there: string[], entry: number, why: string][] = [
  ["linux/amd64", ["linux/arm64", "linux/amd64", "windows/amd64"], 1, "os and architecture"],
  ["linux/amd64", ["linux/amd64", "linux/amd64"], 0, "the first of equals"],
  ["linux/amd64", ["unknown/unknown", "linux/amd64", "unknown/unknown"], 1, "attestations are no images"],
  ["linux/amd64", ["linux/amd64/v1", "linux/amd64"], 1, "the one that is the same before one that is more"],
  ["linux/amd64", ["linux/amd64/v2", "linux/amd64/v1"], 0, "a variant that nobody asked for, the first"],
  ["linux/amd64/v2", ["linux/amd64", "linux/amd64/v2"], 1, "the variant"],
  ["linux/amd64/v2", ["linux/amd64/v3", "linux/amd64"], 1, "one without the variant"],
  ["linux/arm64", ["linux/arm64/v8"], 0, "arm64 is arm64/v8"],
  ["linux/arm64/v8", ["linux/arm64"], 0, "arm64 is arm64/v8"],
  ["linux/arm64", ["linux/arm64/v8", "linux/arm64"], 0, "two ways to write one: the first"],
  ["linux/arm64", ["linux/arm64/v9", "linux/arm64"], 1, "v9 is another"],
  ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"], 2, "arm's own"],
  ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], 1, "the highest that is not above"],
  ["linux/arm/v7", ["linux/arm", "linux/arm/v5"], 1, "any variant before none"],
  ["linux/arm/v6", ["linux/arm/v7", "linux/arm"], 1, "none before one above"],
  ["linux/arm/v6", ["linux/arm/v6", "linux/arm/v6"], 0, "the first of equals"],
  ["linux/arm/7", ["linux/arm/v8", "linux/arm/v6", "linux/arm/v7"], 2, "as people write it"],
  ["linux/arm/hf", ["linux/arm", "linux/arm/hf"], 1, "a variant without a number is compared as text"],
  ["linux/arm/v10", ["linux/arm/v9", "linux/arm/v10"], 1, "numbers, not texts"],
  ["linux/arm", ["linux/arm/v6", "linux/arm"], 1, "no variant on either side"],
  ["linux/arm", ["linux/arm/v6", "linux/arm/v7"], 0, "the first, where no variant is said"],
  ["linux/s390x", ["-"], 0, "one entry that names no platform"],
  ["linux/s390x", ["unknown/unknown", "-"], 1, "one entry that names no platform, and its attestation"],
  ["linux/amd64", ["-", "linux/amd64"], 1, "a named platform before none"],
];
for (const [wanted, there, entry, why] of chosen) {
  test(`${wanted} of ${there.join(", ")}: ${why}`, () => {
    assert.equal(selectPlatform(indexOf(there), parsePlatform(wanted), "x").size, entry);
  });
}

const missing: [wanted: string, there: string[], says: string][] = [
  ["linux/amd64", [], "it has nothing"],
  ["linux/amd64", ["linux/arm64", "windows/amd64"], "it has linux/arm64, windows/amd64"],
  ["linux/amd64", ["linux/arm64"], "it has linux/arm64"],
  ["linux/amd64", ["unknown/unknown"], "it has nothing"],
  ["unknown/unknown", ["unknown/unknown"], "it has nothing"],
  ["linux/amd64", ["-", "-"], "it has no platform"],
  ["linux/amd64", ["-", "linux/arm/v7", "linux/arm/v7"], "it has no platform, linux/arm/v7"],
  ["linux/arm/v6", ["linux/arm/v7"], "it has linux/arm/v7"],
  ["linux/arm64", ["linux/arm/v8", "linux/arm64/v9"], "it has linux/arm/v8, linux/arm64/v9"],
  ["linux/amd64/v2", ["linux/amd64/v3"], "it has linux/amd64/v3"],
];
for (const [wanted, there, says] of missing) {
  test(`no ${wanted} in ${there.join(", ") || "an empty index"}`, () => {
    assert.throws(() => selectPlatform(indexOf(there), parsePlatform(wanted), "ghcr.io/a/b:c"), {
      kind: "not-found",
      message: `ghcr.io/a/b:c has nothing for platform ${wanted}; ${says}`,
    });
  });
}

test("not more than 20 platforms are listed", () => {
  const index = indexOf(Array.from({ length: 1000 }, (_, i) => `os${i}/arch`));
  assert.throws(
    () => selectPlatform(index, parsePlatform("linux/amd64"), "x"),
    (error: Error) => error.message.endsWith("os19/arch"),
  );
});

test("a platform's name is not listed as long as it is", () => {
  const index = indexOf(Array.from({ length: 20 }, (_, i) => `os${i}/${"a".repeat(5000)}`));
  assert.throws(
    () => selectPlatform(index, parsePlatform("linux/amd64"), "x"),
    (error: Error) => error.message.length < 800 && /it has os0\/a{26}…, os1\/a{26}…,/.test(error.message),
  );
});

const written: [text: string, formatted: string][] = [
  ["linux/amd64", "linux/amd64"],
  ["linux/arm/v7", "linux/arm/v7"],
  [" Linux/AMD64 ", "linux/amd64"],
  ["wasip1/wasm", "wasip1/wasm"],
];
for (const [text, formatted] of written) {
  test(`platform ${JSON.stringify(text)}`, () => assert.equal(formatPlatform(parsePlatform(text)), formatted));
}

for (const text of ["", "linux", "linux/", "/amd64", "linux/arm/", "a/b/c/d", "linux amd64", "linux/a b", "../..//x"]) {
  test(`${JSON.stringify(text)} is no platform`, () => {
    assert.throws(() => parsePlatform(text), {
      kind: "bad-input",
      message: /is not of the form os\/arch\[\/variant\]/,
    });
  });
}

const machines: [arch: string, platform: string][] = [
  ["x64", "linux/amd64"],
  ["arm64", "linux/arm64"],
  ["arm", "linux/arm/v7"],
  ["ia32", "linux/386"],
  ["ppc64", "linux/ppc64le"],
  ["s390x", "linux/s390x"],
  ["riscv64", "linux/riscv64"],
];
for (const [arch, platform] of machines) {
  test(`Node's ${arch} is ${platform}`, () => assert.equal(formatPlatform(platformOfMachine("linux", arch)), platform));
}
