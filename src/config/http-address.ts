import type { Parser } from "./parsers.ts";

/** Where HTTP is served. */
export interface HttpAddress {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Brackets are for IPv6. An IPv4 address may have them, too, as with Go: manifests write `[$(NODE_IP)]:PORT` and do not
 * know which of the two Kubernetes puts in.
 */
const addressForm = /^(?:([a-zA-Z0-9._-]+)|\[([0-9a-fA-F:.]*:[0-9a-fA-F:.]*|\d+(?:\.\d+){3})\]):([0-9]{1,5})$/;

/** `off`, or an address that says on which of the machine's addresses: metrics are not for everybody by accident. */
export function httpEndpoint(): Parser<HttpAddress | "off"> {
  return {
    placeholder: "HOST:PORT|off",
    allowed: "off, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535",
    standsAlone: false,
    parse(text) {
      if (text === "off") return "off";
      const [, name, bracketed, digits] = addressForm.exec(text) ?? [];
      const host = name ?? bracketed ?? "";
      const port = Number(digits);
      // Also knows which addresses there are.
      if (!URL.canParse(`http://${host.includes(":") ? `[${host}]` : host}`)) return undefined;
      return port >= 1 && port <= 65535 ? Object.freeze({ host, port }) : undefined;
    },
  };
}
