import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createInflateRaw, deflateRawSync } from "node:zlib";
import { inParts } from "../../test/fixtures/unpacking.ts";
import { afterTurn } from "../base/index.ts";
import { ByteSource } from "./byte-source.ts";
import { INFLATER_OPTIONS, inflate } from "./inflater.ts";

test("the end is seen, though all of the data is unpacked before its first part is used", async () => {
  // Two parts of output: the stream holds the second one and the end while the first one is used.
  const content = randomBytes(1.5 * INFLATER_OPTIONS.chunkSize);
  const packed = deflateRawSync(content);
  const trailer = Buffer.from("trailer!");
  const stream = createInflateRaw(INFLATER_OPTIONS);
  const source = new ByteSource(inParts(Buffer.concat([packed, trailer]), 2 * packed.length));
  const parts: Buffer[] = [];
  for await (const part of inflate(stream, source)) {
    parts.push(Buffer.from(part));
    while (stream.bytesWritten < packed.length) await new Promise<void>((resolve) => afterTurn(resolve));
  }
  assert.ok(Buffer.concat(parts).equals(content));
  assert.deepEqual(await source.next(), trailer);
});
