import assert from "node:assert/strict";
import { test } from "node:test";
import { createBodyDecoder } from "./body-decoder.ts";
import { HttpSyntaxError } from "./http-message.ts";

/** Decodes pieces as they come; what was data, what was left over, whether the end was seen. */
function decodeAll(kind: "chunked" | "length", text: string, pieceBytes: number, length = 0) {
  const decoder = createBodyDecoder(kind === "chunked" ? { kind } : { kind, length });
  const input = Buffer.from(text, "latin1");
  let data = "";
  let at = 0;
  while (at < input.length && !decoder.isDone) {
    const step = decoder.decode(input.subarray(at, at + pieceBytes));
    data += step.data?.toString("latin1") ?? "";
    at += step.used;
  }
  return { data, rest: text.slice(at), isDone: decoder.isDone };
}

const chunked = "4;name=v\r\nWiki\r\n6\r\npedia \r\nB\r\nin \r\nchunks\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1 200";
for (const pieceBytes of [1, 2, 3, 7, 1000]) {
  test(`chunked in pieces of ${pieceBytes}`, () => {
    const found = decodeAll("chunked", chunked, pieceBytes);
    assert.deepEqual(found, { data: "Wikipedia in \r\nchunks", rest: "HTTP/1.1 200", isDone: true });
  });
}

test("small chunks that came together are one step, whatever there is between them", () => {
  const large = "x".repeat(5000);
  const text = `${"1;a=b\r\ny\r\n".repeat(1000)}${large.length.toString(16)}\r\n${large}\r\n${"2\r\nzz\r\n".repeat(500)}0\r\n\r\n`;
  const decoder = createBodyDecoder({ kind: "chunked" });
  const parts: string[] = [];
  for (let input = Buffer.from(text); !decoder.isDone; ) {
    const { used, data } = decoder.decode(input);
    if (data !== undefined) parts.push(data.toString());
    input = input.subarray(used);
  }
  assert.deepEqual(parts, ["y".repeat(1000), large, "z".repeat(1000)]);
});

test("an empty chunked body", () => {
  assert.deepEqual(decodeAll("chunked", "0\r\n\r\n", 1), { data: "", rest: "", isDone: true });
});

for (const text of ["x\r\n", "-1\r\n", "3\r\nabcd\r\n", "\r\n", `${"1".repeat(9000)}`, "fffffffffffff\r\n"]) {
  test(`chunked ${JSON.stringify(text.slice(0, 20))} is refused`, () => {
    assert.throws(() => decodeAll("chunked", text, 100), HttpSyntaxError);
  });
}

test("trailers without an end are refused", () => {
  assert.throws(() => decodeAll("chunked", `0\r\n${"Trailer: x\r\n".repeat(10_000)}`, 1000), HttpSyntaxError);
});

test("a length ends at its byte", () => {
  assert.deepEqual(decodeAll("length", "abcdef", 4, 5), { data: "abcde", rest: "f", isDone: true });
  assert.equal(decodeAll("length", "abc", 4, 5).isDone, false);
});
