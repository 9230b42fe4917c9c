import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bodyFramingOf,
  formatRequestHead,
  headerOf,
  HttpSyntaxError,
  keepsAlive,
  parseResponseHead,
} from "./http-message.ts";

const headOf = (...lines: string[]) => parseResponseHead(lines.join("\r\n"));

test("reads a head with repeated, folded and empty fields", () => {
  const head = headOf(
    "HTTP/1.1 200 OK fine",
    "A: 1",
    "a:2",
    "X-Fold: one",
    "  two",
    "Empty:",
    "b : 3".replace(" :", ":"),
  );
  assert.equal(head.status, 200);
  assert.deepEqual(head.headers.get("a"), ["1", "2"]);
  assert.equal(headerOf(head.headers, "x-fold"), "one two");
  assert.equal(headerOf(head.headers, "empty"), "");
});

for (const line of ["HTTP/2 200", "HTTP/1.1 20", "HTTP/1.1 099 x", "ICY 200 OK", "", "<html>"]) {
  test(`status line ${JSON.stringify(line)} is refused`, () => {
    assert.throws(() => headOf(line), HttpSyntaxError);
  });
}

test("a header line without a name is refused", () => {
  assert.throws(() => headOf("HTTP/1.1 200 OK", "no colon"), HttpSyntaxError);
  assert.throws(() => headOf("HTTP/1.1 200 OK", "bad name : x"), HttpSyntaxError);
});

const framings: { name: string; method?: string; lines: string[]; framing: unknown; alive: boolean }[] = [
  {
    name: "length",
    lines: ["HTTP/1.1 200 OK", "Content-Length: 5"],
    framing: { kind: "length", length: 5 },
    alive: true,
  },
  {
    name: "same length twice",
    lines: ["HTTP/1.1 200 OK", "Content-Length: 5, 5"],
    framing: { kind: "length", length: 5 },
    alive: true,
  },
  {
    name: "chunked",
    lines: ["HTTP/1.1 200 OK", "Transfer-Encoding: Chunked"],
    framing: { kind: "chunked" },
    alive: true,
  },
  {
    name: "both",
    lines: ["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"],
    framing: { kind: "chunked" },
    alive: false,
  },
  { name: "neither", lines: ["HTTP/1.1 200 OK"], framing: { kind: "until-close" }, alive: false },
  {
    name: "HEAD",
    method: "HEAD",
    lines: ["HTTP/1.1 200 OK", "Content-Length: 5"],
    framing: { kind: "length", length: 0 },
    alive: true,
  },
  { name: "204", lines: ["HTTP/1.1 204 No Content"], framing: { kind: "length", length: 0 }, alive: true },
  {
    name: "close",
    lines: ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: Close"],
    framing: { kind: "length", length: 0 },
    alive: false,
  },
  {
    name: "1.0",
    lines: ["HTTP/1.0 200 OK", "Content-Length: 0"],
    framing: { kind: "length", length: 0 },
    alive: false,
  },
  {
    name: "1.0 kept",
    lines: ["HTTP/1.0 200 OK", "Content-Length: 0", "Connection: keep-alive"],
    framing: { kind: "length", length: 0 },
    alive: true,
  },
];
for (const row of framings) {
  test(`body framing: ${row.name}`, () => {
    const head = headOf(...row.lines);
    const framing = bodyFramingOf(row.method ?? "GET", head);
    assert.deepEqual(framing, row.framing);
    assert.equal(keepsAlive(head, framing), row.alive);
  });
}

for (const field of [
  "Content-Length: -1",
  "Content-Length: 1, 2",
  "Content-Length: 0x10",
  "Transfer-Encoding: gzip, chunked",
]) {
  test(`${field} is refused`, () => {
    assert.throws(() => bodyFramingOf("GET", headOf("HTTP/1.1 200 OK", field)), HttpSyntaxError);
  });
}

test("a request head cannot be broken out of", () => {
  assert.equal(formatRequestHead("GET", "/x", new Map([["A", "b"]])), "GET /x HTTP/1.1\r\nA: b\r\n\r\n");
  assert.throws(() => formatRequestHead("GET", "/x", new Map([["A", "b\r\nC: d"]])), HttpSyntaxError);
});
