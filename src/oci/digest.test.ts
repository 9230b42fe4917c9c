import assert from "node:assert/strict";
import { test } from "node:test";
import { type DigestAlgorithm, digestOf, digestParts, parseDigest } from "./digest.ts";

const hex = "0123456789abcdef".repeat(4);

for (const text of [`sha256:${hex}`, `sha512:${hex}${hex}`]) {
  test(`${text.slice(0, 12)}… is a digest`, () => {
    const digest = parseDigest(text);
    assert.equal(digest, text);
    const { algorithm, hex: digits } = digestParts(digest);
    assert.equal(`${algorithm}:${digits}`, text);
  });
}

const refused: [name: string, text: string, says: RegExp][] = [
  ["nothing", "", /"" is of no known algorithm: sha256 and sha512 are read/],
  ["no colon", hex, /no known algorithm/],
  ["an algorithm without a colon", "sha256", /no known algorithm/],
  ["an algorithm and one character more", "sha2566", /malformed/],
  ["no digits", "sha256:", /64 hex digits in lower case/],
  ["a digit too few", `sha256:${hex.slice(1)}`, /64 hex digits/],
  ["a digit too many", `sha256:${hex}0`, /64 hex digits/],
  ["the digits of the other algorithm", `sha512:${hex}`, /128 hex digits/],
  ["capitals", `sha256:${hex.toUpperCase()}`, /lower case/],
  ["no hex", `sha256:${"g".repeat(64)}`, /64 hex digits/],
  ["a line end after it", `sha256:${hex.slice(1)}\n`, /64 hex digits/],
  ["a path", `sha256:${"../".repeat(21)}a`, /64 hex digits/],
  ["an algorithm that we cannot verify", `sha384:${hex}`, /no known algorithm/],
  ["a weak algorithm", `md5:${hex}`, /no known algorithm/],
  ["an algorithm in capitals", `SHA256:${hex}`, /no known algorithm/],
  ["two algorithms", `sha256+b64:${hex}`, /no known algorithm/],
  ["a blank before it", ` sha256:${hex}`, /no known algorithm/],
  ["a property of all objects", `constructor:${hex}`, /no known algorithm/],
];
for (const [name, text, says] of refused) {
  test(`no digest: ${name}`, () => {
    assert.throws(() => parseDigest(text), { name: "DriverError", kind: "refused", message: says });
  });
}

test("a text of any length is shortened in the message", () => {
  assert.throws(
    () => parseDigest("x".repeat(1 << 20)),
    (error: Error) => error.message.length < 300,
  );
});

const known: [algorithm: DigestAlgorithm, hexOfAbc: string][] = [
  ["sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  [
    "sha512",
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  ],
];
for (const [algorithm, expected] of known) {
  test(`the ${algorithm} of some bytes`, () => {
    assert.equal(digestOf(Buffer.from("abc"), algorithm), `${algorithm}:${expected}`);
  });
}

test("sha256 is what is meant where nothing is said", () => {
  const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  assert.equal(digestOf(new Uint8Array()), empty);
  assert.equal(parseDigest(empty), empty);
});
