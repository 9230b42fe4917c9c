import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChallenges } from "./challenge.ts";

const rows: { name: string; lines: string[]; found: [string, Record<string, string>][] }[] = [
  {
    name: "a token server's",
    lines: ['Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull,push"'],
    found: [["bearer", { realm: "https://a.example/token", service: "r.example", scope: "repository:a/b:pull,push" }]],
  },
  {
    name: "several in one line",
    lines: ['Negotiate, Basic realm="x, y", Bearer realm="/t" , service=s'],
    found: [
      ["negotiate", {}],
      ["basic", { realm: "x, y" }],
      ["bearer", { realm: "/t", service: "s" }],
    ],
  },
  {
    name: "several lines, any case, blanks around the equals sign",
    lines: ['BASIC Realm = "x"', "bearer realm = /t,\tscope=  a"],
    found: [
      ["basic", { realm: "x" }],
      ["bearer", { realm: "/t", scope: "a" }],
    ],
  },
  {
    name: "escapes and equals signs in quotes",
    lines: ['Bearer realm="https://a/t?x=\\"y\\"&Basic realm=z", error="inv\\\\alid"'],
    found: [["bearer", { realm: 'https://a/t?x="y"&Basic realm=z', error: "inv\\alid" }]],
  },
  {
    name: "a token68 before another challenge",
    lines: ["NTLM TlRMTVNTUAAB==, Basic realm=x"],
    found: [
      ["ntlm", {}],
      ["basic", { realm: "x" }],
    ],
  },
  {
    name: "a quote that does not end",
    lines: ['Bearer realm="https://a/t'],
    found: [["bearer", { realm: "https://a/t" }]],
  },
  { name: "empty items", lines: [", ,Basic realm=x,,"], found: [["basic", { realm: "x" }]] },
  {
    name: "bytes that are no word",
    lines: ['"lost" {} Basic realm=x'],
    found: [
      ["lost", {}],
      ["basic", { realm: "x" }],
    ],
  },
  { name: "no parameters", lines: ["Basic"], found: [["basic", {}]] },
  { name: "the first of two values", lines: ["Basic realm=a, realm=b"], found: [["basic", { realm: "a" }]] },
  { name: "nothing", lines: ["", "  "], found: [] },
];
for (const { name, lines, found } of rows) {
  test(`challenges: ${name}`, () => {
    const parsed = parseChallenges(lines).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
    assert.deepEqual(parsed, found);
  });
}
