import { X509Certificate } from "node:crypto";
import { DriverError } from "../base/index.ts";

const CERTIFICATE = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[\s\S]*?-----END \1-----/g;
const BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g;

/**
 * The certificates of a PEM file, each by itself. Throws "bad-input" where there is none, or one that is cut off or
 * broken: TLS would take the file as it is and trust nothing of it. `source` names it in messages.
 */
export function parseCaCertificates(text: string, source: string): string[] {
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new DriverError("bad-input", `${source} holds no certificate in PEM form`);
  if (certificates.length !== text.match(BEGIN)?.length)
    throw new DriverError("bad-input", `${source} holds a certificate that is cut off`);
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate);
    } catch (cause) {
      const which = `number ${index + 1} of its ${certificates.length} certificates`;
      throw new DriverError("bad-input", `${source}: ${which} cannot be read`, cause);
    }
  }
  return certificates;
}
