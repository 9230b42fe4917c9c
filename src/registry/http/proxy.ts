import net from "node:net";
import { hostLabel, isLoopback, type Origin, parseTarget } from "./target.ts";
import { TransportError } from "./transport-error.ts";

/** A proxy that requests go through. */
export interface HttpProxy {
  readonly origin: Origin;
  /** The value of Proxy-Authorization: a secret. */
  readonly authorization: string | undefined;
}

/** The proxy for an origin; undefined: none. Throws a `TransportError` ("proxy") if what is configured is no proxy. */
export type ProxyChooser = (origin: Origin) => HttpProxy | undefined;

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in lower case, as Go's programs do (golang.org/x/net,
 * httpproxy): an address without a scheme is http, NO_PROXY holds names with their subdomains, addresses, networks,
 * each with a port or without, and `*`. Loopback hosts are never asked through a proxy.
 */
export function createProxyChooser(variables: Variables): ProxyChooser {
  const read = (name: string) => variables[name] || variables[name.toLowerCase()] || "";
  const rules = read("NO_PROXY")
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== "")
    .map(ruleFrom);
  return (origin) => {
    const name = origin.scheme === "https" ? "HTTPS_PROXY" : "HTTP_PROXY";
    const text = read(name).trim();
    if (text === "" || isLoopback(origin) || rules.some((rule) => rule(origin))) return undefined;
    return proxyFrom(text, name, origin);
  };
}

function proxyFrom(text: string, name: string, asked: Origin): HttpProxy {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const origin = parseTarget(url);
  // The text itself may hold a password.
  if (origin === undefined) throw new TransportError("proxy", hostLabel(asked), `${name} is no http or https address`);
  const user = /^[a-z]+:\/\/([^/?#]*)@/i.exec(url)?.[1];
  const authorization = user === undefined ? undefined : basicFrom(user);
  return { origin: { scheme: origin.scheme, host: origin.host, port: origin.port }, authorization };
}

function basicFrom(user: string): string {
  const colon = user.indexOf(":");
  const [name, password] = colon < 0 ? [user, ""] : [user.slice(0, colon), user.slice(colon + 1)];
  return `Basic ${Buffer.from(`${unescaped(name)}:${unescaped(password)}`, "utf8").toString("base64")}`;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

type Rule = (origin: Origin) => boolean;

function ruleFrom(entry: string): Rule {
  if (entry === "*") return () => true;
  const network = /^(.+)\/(\d{1,3})$/.exec(entry);
  if (network !== null) return networkRule(network[1] ?? "", Number(network[2]));
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
  const name = bracketed ?? plain ?? entry;
  const port = portText === undefined ? undefined : Number(portText);
  const matches = net.isIP(name) === 0 ? nameRule(name) : networkRule(name, net.isIP(name) === 4 ? 32 : 128);
  return (origin) => (port === undefined || port === origin.port) && matches(origin);
}

/** `example.com` means itself and what is below it, `.example.com` and `*.example.com` only the latter. */
function nameRule(name: string): Rule {
  const bare = name.replace(/^\*?\./, "").replace(/\.$/, "");
  return ({ host }) => (host === bare && bare === name.replace(/\.$/, "")) || host.endsWith(`.${bare}`);
}

function networkRule(address: string, bits: number): Rule {
  const family = net.isIP(address);
  if (family === 0 || bits > (family === 4 ? 32 : 128)) return () => false;
  const list = new net.BlockList();
  list.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
  return ({ host }) => {
    const asked = host.replace(/^\[(.*)\]$/, "$1");
    const kind = net.isIP(asked);
    return kind !== 0 && list.check(asked, kind === 4 ? "ipv4" : "ipv6");
  };
}
