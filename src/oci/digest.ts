import { createHash } from "node:crypto";
import { DriverError } from "../base/index.ts";

declare const brand: unique symbol;

/** A checked digest, `algorithm:hex` in lower case (OCI image-spec 1.1, descriptor.md, Digests). */
export type Digest = string & { readonly [brand]: "Digest" };

/** The algorithms that we can verify; the specification registers no others for new content. */
export type DigestAlgorithm = "sha256" | "sha512";

const hexLength: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };

/** Checks a digest's algorithm and encoding. Throws "refused" with the (shortened) text. */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(":");
  const algorithm = text.slice(0, colon);
  const hex = text.slice(colon + 1);
  if (!isAlgorithm(algorithm)) {
    throw new DriverError("refused", `digest ${quote(text)} is of no known algorithm: sha256 and sha512 are read`);
  }
  if (hex.length !== hexLength[algorithm] || !/^[0-9a-f]+$/.test(hex)) {
    const due = `${hexLength[algorithm]} hex digits in lower case`;
    throw new DriverError("refused", `digest ${quote(text)} is malformed: ${due} are due`);
  }
  return text as Digest;
}

/** The two halves of a digest. */
export function digestParts(digest: Digest): { readonly algorithm: DigestAlgorithm; readonly hex: string } {
  const colon = digest.indexOf(":");
  return { algorithm: digest.slice(0, colon) as DigestAlgorithm, hex: digest.slice(colon + 1) };
}

/** The digest of some bytes. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

function isAlgorithm(text: string): text is DigestAlgorithm {
  return text === "sha256" || text === "sha512";
}

function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 80)}…${text.slice(-40)}` : text);
}
