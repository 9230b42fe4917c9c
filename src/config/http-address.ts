import type { Parser } from "./parsers.ts";

/** Where HTTP is served. */
export interface HttpAddress {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `off`, or an address that says on which of the machine's addresses: metrics are not for everybody by accident. */
export function httpEndpoint(): Parser<HttpAddress | "off"> {
  return {
    placeholder: "HOST:PORT|off",
    allowed: "off, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535",
    standsAlone: false,
    parse(text) {
      if (text === "off") return "off";
      const [, host = "", digits] = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+):([0-9]{1,5})$/.exec(text) ?? [];
      const port = Number(digits);
      // Also knows which addresses there are.
      if (!URL.canParse(`http://${host}`) || !(port >= 1 && port <= 65535)) return undefined;
      return Object.freeze({ host: host.replace(/^\[|\]$/g, ""), port });
    },
  };
}
