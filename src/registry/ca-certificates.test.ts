import assert from "node:assert/strict";
import { test } from "node:test";
import { rootCertificates } from "node:tls";
import { parseCaCertificates } from "./ca-certificates.ts";

const [first = "", second = ""] = rootCertificates;
const parse = (text: string) => parseCaCertificates(text, "--ca-file");

test("certificates are found between whatever else a bundle has", () => {
  assert.deepEqual(parse(`# a comment\n${first}\n\nCN = second\n${second}`), [first, second]);
  assert.deepEqual(parse(first.replaceAll("\n", "\r\n")), [first.replaceAll("\n", "\r\n")]);
});

const refused: [name: string, text: string, says: RegExp][] = [
  ["nothing", "", /^--ca-file holds no certificate in PEM form$/],
  ["something else", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", /no certificate/],
  ["half a certificate", first.slice(0, 200), /no certificate/],
  ["a second one that is cut off", `${first}\n${second.slice(0, 200)}`, /cut off$/],
  ["a broken one", `${first}\n${second.replace(/\nMII/, "\nXXX")}`, /: number 2 of its 2 certificates cannot be read$/],
];
for (const [name, text, says] of refused) {
  test(`refused: ${name}`, () => assert.throws(() => parse(text), { kind: "bad-input", message: says }));
}
