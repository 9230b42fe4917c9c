import assert from "node:assert/strict";
import { test } from "node:test";
import { createProxyChooser } from "./proxy.ts";
import { hostLabel, parseTarget } from "./target.ts";
import { TransportError } from "./transport-error.ts";

function chosen(variables: Record<string, string>, url: string): string {
  const target = parseTarget(url);
  assert.ok(target);
  const proxy = createProxyChooser(variables)(target);
  if (proxy === undefined) return "-";
  const login = proxy.authorization === undefined ? "" : `${atob(proxy.authorization.slice("Basic ".length))}@`;
  return `${proxy.origin.scheme}://${login}${hostLabel(proxy.origin)}`;
}

const both = { HTTPS_PROXY: "http://s.proxy:3128", HTTP_PROXY: "http://h.proxy:3128" };

const rows: { name: string; variables: Record<string, string>; url: string; proxy: string }[] = [
  { name: "nothing set", variables: {}, url: "https://r.example/", proxy: "-" },
  { name: "https", variables: both, url: "https://r.example/", proxy: "http://s.proxy:3128" },
  { name: "http", variables: both, url: "http://r.example/", proxy: "http://h.proxy:3128" },
  { name: "lower case", variables: { https_proxy: "http://p:1" }, url: "https://r.example/", proxy: "http://p:1" },
  {
    name: "both cases",
    variables: { ...both, https_proxy: "http://p:1" },
    url: "https://r.example/",
    proxy: "http://s.proxy:3128",
  },
  {
    name: "empty is unset",
    variables: { HTTPS_PROXY: "", https_proxy: "http://p:1" },
    url: "https://r.example/",
    proxy: "http://p:1",
  },
  { name: "no scheme", variables: { HTTPS_PROXY: "p:3128" }, url: "https://r.example/", proxy: "http://p:3128" },
  {
    name: "a slash at the end",
    variables: { HTTPS_PROXY: "http://p:3128/" },
    url: "https://r.example/",
    proxy: "http://p:3128",
  },
  { name: "a proxy over TLS", variables: { HTTPS_PROXY: "https://p" }, url: "https://r.example/", proxy: "https://p" },
  {
    name: "a login with escapes",
    variables: { HTTPS_PROXY: "http://u:p%40%3aq@p:1" },
    url: "https://r.example/",
    proxy: "http://u:p@:q@p:1",
  },
  {
    name: "a login without a password",
    variables: { HTTPS_PROXY: "http://u@p:1" },
    url: "https://r.example/",
    proxy: "http://u:@p:1",
  },
  { name: "loopback names", variables: both, url: "http://localhost:5000/", proxy: "-" },
  { name: "loopback addresses", variables: both, url: "https://127.8.9.10/", proxy: "-" },
  { name: "IPv6 loopback", variables: both, url: "https://[::1]:5000/", proxy: "-" },
];
for (const { name, variables, url, proxy } of rows) test(name, () => assert.equal(chosen(variables, url), proxy));

const exceptions: [noProxy: string, url: string, isLeftOut: boolean][] = [
  ["*", "https://r.example/", true],
  ["r.example", "https://r.example/", true],
  ["R.Example", "https://r.example/", true],
  ["r.example", "https://a.r.example/", true],
  ["r.example", "https://ar.example/", false],
  [".r.example", "https://a.r.example/", true],
  [".r.example", "https://r.example/", false],
  ["*.r.example", "https://a.r.example/", true],
  ["*.r.example", "https://r.example/", false],
  ["a, r.example ,b", "https://r.example/", true],
  ["r.example:443", "https://r.example/", true],
  ["r.example:5000", "https://r.example/", false],
  ["r.example:5000", "https://r.example:5000/", true],
  ["10.0.0.5", "https://10.0.0.5/", true],
  ["10.0.0.5", "https://10.0.0.50/", false],
  ["10.0.0.5:5000", "https://10.0.0.5:5000/", true],
  ["10.0.0.0/8", "https://10.200.3.4/", true],
  ["10.0.0.0/8", "https://11.0.0.1/", false],
  ["10.0.0.0/8", "https://r.example/", false],
  ["10.0.0.0/99", "https://10.0.0.1/", false],
  ["fd00::/8", "https://[fd00::1]:5000/", true],
  ["[fd00::1]:5000", "https://[fd00::1]:5000/", true],
  ["fd00::1", "https://[fd00::1]/", true],
  ["", "https://r.example/", false],
  [",", "https://r.example/", false],
];
for (const [noProxy, url, isLeftOut] of exceptions) {
  test(`NO_PROXY=${noProxy} ${isLeftOut ? "leaves out" : "does not leave out"} ${url}`, () => {
    for (const name of ["NO_PROXY", "no_proxy"]) {
      assert.equal(chosen({ ...both, [name]: noProxy }, url), isLeftOut ? "-" : "http://s.proxy:3128");
    }
  });
}

for (const text of ["socks5://u:SECRET@p:1", "http://", "http://u:SECRET@", "http://[SECRET"]) {
  test(`${text} is no proxy, and is not quoted`, () => {
    assert.throws(
      () => chosen({ HTTPS_PROXY: text }, "https://r.example/"),
      (error) => error instanceof TransportError && error.fault === "proxy" && !error.message.includes("SECRET"),
    );
  });
}
