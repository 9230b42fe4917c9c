import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers as OwnHeaders } from "./headers.ts";

const inits = [
  undefined,
  [
    ["Content-Type", "application/grpc"],
    ["b", "1"],
    ["B", " 2\t"],
  ],
  { "grpc-status": "0", "Grpc-Message": "a%20b" },
] as const;

test("headers are what Node's own make of the same, order aside", () => {
  for (const init of inits) {
    const pair = [new Headers(init as Record<string, string> | undefined), new OwnHeaders(init)] as const;
    for (const headers of pair) headers.set("X", "y");
    const copy = new OwnHeaders(pair[1]);
    for (const headers of pair) {
      headers.append("x", "z");
      headers.set("Once", "1");
      headers.delete("ONCE");
    }
    const [theirs, ours] = pair.map((headers) => [...headers].sort());
    assert.deepEqual(ours, theirs);
    const seen: string[] = [];
    pair[1].forEach((value, name) => {
      seen.push(`${name}=${value}`);
    });
    assert.deepEqual(seen.sort(), [...pair[0]].map(([name, value]) => `${name}=${value}`).sort());
    const asked = [pair[1].get("X"), pair[1].get("once"), pair[1].has("X"), pair[1].has("q")];
    assert.deepEqual(asked, ["y, z", null, true, false]);
    assert.equal(copy.get("x"), "y", "a copy is its own");
    assert.deepEqual([...pair[1].keys()].sort(), [...pair[0].keys()]);
    assert.deepEqual([...pair[1].values()].sort(), [...pair[0].values()].sort());
  }
});

test("what is no header is refused, as by Node's own", () => {
  for (const create of [() => new Headers(), () => new OwnHeaders()]) {
    for (const name of ["", "a b", "ü", "a\n"]) assert.throws(() => create().append(name, "x"), TypeError, name);
    for (const value of ["a\nb", "a\r\nb: c", "a\0b"]) assert.throws(() => create().set("a", value), TypeError);
  }
});
