import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DriverError } from "../../base/index.ts";
import { hostLabel } from "../http/target.ts";
import { type HostEntry, parseHostsFile } from "./hosts-file.ts";

const parse = (text: string) => parseHostsFile(text, "/certs.d/r.example/hosts.toml", "/certs.d/r.example");

/** Scheme, host and path of the API, one text each; `-` is the registry itself. */
function roots(text: string): string[] {
  return parse(text).map(({ root }) => (root === undefined ? "-" : `${root.scheme}://${hostLabel(root)}${root.path}`));
}

function only(text: string): HostEntry {
  const [entry] = parse(text);
  assert.ok(entry !== undefined);
  return entry;
}

describe("which hosts, in which order", () => {
  const rows: { name: string; text: string; hosts: string[] }[] = [
    { name: "nothing said", text: "", hosts: ["-"] },
    { name: "server alone", text: 'server = "https://m.example"', hosts: ["https://m.example/v2"] },
    {
      name: "hosts as they stand in the file, server last",
      text: 'server = "https://r.example"\n[host."https://z.example"]\n[host."http://a.example:5000"]',
      hosts: ["https://z.example/v2", "http://a.example:5000/v2", "https://r.example/v2"],
    },
    {
      name: "no server: the registry itself is last",
      text: '[host."https://m.example"]',
      hosts: ["https://m.example/v2", "-"],
    },
    { name: "no scheme is https", text: '[host."m.example:5000"]', hosts: ["https://m.example:5000/v2", "-"] },
    {
      name: "a path gets /v2 added",
      text: 'server = "https://m.example/proxy/"',
      hosts: ["https://m.example/proxy/v2"],
    },
    {
      name: "a path that has it does not",
      text: 'server = "https://m.example/a/v2/"',
      hosts: ["https://m.example/a/v2"],
    },
    { name: "a bare slash", text: 'server = "https://m.example/"', hosts: ["https://m.example/v2"] },
    {
      name: "override_path: the path is the API",
      text: '[host."https://m.example/api"]\noverride_path = true',
      hosts: ["https://m.example/api", "-"],
    },
    {
      name: "override_path without a path",
      text: '[host."https://m.example"]\noverride_path = true',
      hosts: ["https://m.example", "-"],
    },
    {
      name: "IPv6",
      text: '[host."http://[::1]:30021"]\ndial_timeout = "200ms"',
      hosts: ["http://[::1]:30021/v2", "-"],
    },
    { name: "an empty server", text: 'server = ""', hosts: ["-"] },
  ];
  for (const { name, text, hosts } of rows) test(name, () => assert.deepEqual(roots(text), hosts));
});

test("capabilities: absent means all, push is of no interest, any case", () => {
  const of = (list: string) => only(`[host."https://m.example"]\ncapabilities = ${list}`).capabilities;
  assert.deepEqual(only('[host."https://m.example"]').capabilities, ["pull", "resolve"]);
  assert.deepEqual(of('["pull"]'), ["pull"]);
  assert.deepEqual(of('["RESOLVE", "push"]'), ["resolve"]);
  assert.deepEqual(of('["push"]'), []);
  assert.deepEqual(of("[]"), ["pull", "resolve"]);
  assert.deepEqual(
    only('capabilities = ["pull"]').capabilities,
    ["pull", "resolve"],
    "without server as containerd does",
  );
  assert.deepEqual(only('server = "https://r.example"\ncapabilities = ["pull"]').capabilities, ["pull"]);
});

test("files, relative ones to the hosts.toml", () => {
  const { caFiles, clientFiles } = only(
    '[host."https://m.example"]\nca = ["ca.pem", "/etc/other.pem"]\nclient = [["c.pem", "c.key"], ["/both.pem", ""], "../x.pem"]',
  );
  assert.deepEqual(caFiles, ["/certs.d/r.example/ca.pem", "/etc/other.pem"]);
  assert.deepEqual(clientFiles, [
    { certificate: "/certs.d/r.example/c.pem", key: "/certs.d/r.example/c.key" },
    { certificate: "/both.pem", key: undefined },
    { certificate: "/certs.d/x.pem", key: undefined },
  ]);
  const single = only('ca = "a.crt"\nclient = "me.pem"');
  assert.deepEqual(single.caFiles, ["/certs.d/r.example/a.crt"]);
  assert.deepEqual(single.clientFiles, [{ certificate: "/certs.d/r.example/me.pem", key: undefined }]);
});

test("headers, skip_verify and dial_timeout", () => {
  const entry = only(
    '[host."https://m.example"]\nskip_verify = true\ndial_timeout = "1m200ms"\n' +
      '[host."https://m.example".header]\nX-One = "1"\nx-two = ["a", "b"]',
  );
  assert.deepEqual(entry.headers, { "X-One": "1", "x-two": "a, b" });
  assert.equal(entry.skipVerify, true);
  assert.equal(entry.connectTimeoutMs, 60_200);
});

describe("what is refused, by name and without a value", () => {
  const rows: { name: string; text: string; says: RegExp }[] = [
    { name: "no TOML", text: 'server = "secret', says: /^\/certs\.d\/r\.example\/hosts\.toml is no TOML: [^\n]+$/ },
    {
      name: "a capability that is none",
      text: 'capabilities = ["secret"]',
      says: /: capabilities must be some of pull, /,
    },
    { name: "another scheme", text: '[host."ftp://m.example"]', says: /must be an http or https URL$/ },
    { name: "a URL with a query", text: 'server = "https://m.example/?secret"', says: /must be an http or https URL$/ },
    {
      name: "a user in a URL that is none",
      text: '[host."ftp://u:secret@m.example"]',
      says: /: host 1 must be an http or https URL/,
    },
    { name: "a host that is no table", text: "host = 5", says: /: host must be a table/ },
    {
      name: "skip_verify that is no boolean",
      text: 'skip_verify = "secret"',
      says: /: skip_verify must be true or false/,
    },
    {
      name: "override_path that is none",
      text: 'server = "https://m.example"\noverride_path = 1',
      says: /override_path/,
    },
    { name: "a header with a line break", text: '[header]\nX = "secret\\r\\nY: z"', says: /: header must be/ },
    { name: "a header that is a number", text: "[header]\nX = 5", says: /: header "X" must be/ },
    { name: "a pair of three", text: 'client = [["a", "b", "secret"]]', says: /: client must be/ },
    { name: "no duration", text: 'dial_timeout = "secret"', says: /: dial_timeout must be a duration like/ },
    { name: "server that is a list", text: "server = []", says: /: server must be a URL/ },
  ];
  for (const { name, text, says } of rows) {
    test(name, () => {
      assert.throws(
        () => parse(text),
        (error) => {
          assert.ok(error instanceof DriverError && error.kind === "bad-input");
          assert.match(error.message, says);
          assert.doesNotMatch(error.message, /secret/);
          return true;
        },
      );
    });
  }
});
