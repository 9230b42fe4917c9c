import assert from "node:assert/strict";
import { test } from "node:test";
import { base256, tarEntry } from "../../test/fixtures/tar-builder.ts";
import { parseTarHeader, parseTarNumber } from "./tar-header.ts";

const numbers: readonly [what: string, field: Buffer, value: number | undefined][] = [
  ["octal with a NUL behind", Buffer.from("00000000644\0"), 0o644],
  ["octal that fills the field", Buffer.from("777777777777"), 0o777777777777],
  ["blanks in front", Buffer.from("        644 "), 0o644],
  ["a NUL in front", Buffer.from("\u00000000000644\0"), 0o644],
  ["NULs", Buffer.alloc(12), 0],
  ["blanks", Buffer.alloc(12, " "), undefined],
  ["a digit that is not octal", Buffer.from("00000000648\0"), undefined],
  ["a sign", Buffer.from("-0000000644\0"), undefined],
  ["base 256", base256(2 ** 40), 2 ** 40],
  ["base 256, negative", base256(-3), -3],
  ["base 256, as large as a double holds", base256(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER],
  ["base 256, larger", base256(2n ** 60n), undefined],
  ["base 256, first byte not 0x80 or 0xff", Buffer.from([0x81, ...Buffer.alloc(11)]), undefined],
];
for (const [what, field, value] of numbers) {
  test(`reads a number: ${what}`, () => assert.equal(parseTarNumber(field, 0, field.length), value));
}

test("reads all fields of a header", () => {
  const header = parseTarHeader(
    tarEntry({ name: "n", type: "2", linkName: "l", mode: 0o4755, uid: 7, gid: 8, mtime: 9, size: 10 }),
  );
  assert.ok(typeof header !== "string");
  const { name, linkName, ...rest } = header;
  assert.deepEqual([name.toString(), linkName.toString()], ["n", "l"]);
  assert.deepEqual(rest, { type: 0x32, size: 10, mode: 0o4755, uid: 7, gid: 8, mtime: 9 });
});

test("a name may fill its field", () => {
  const header = parseTarHeader(
    tarEntry({ name: "n".repeat(100), linkName: "l".repeat(100), prefix: "p".repeat(155) }),
  );
  assert.ok(typeof header !== "string");
  assert.equal(header.name.toString(), `${"p".repeat(155)}/${"n".repeat(100)}`);
  assert.equal(header.linkName.toString(), "l".repeat(100));
});

test("a block of zeros is the end, whatever stands in its checksum", () => {
  const block = Buffer.alloc(512);
  assert.equal(parseTarHeader(block), "end");
  block.fill("7", 148, 156);
  assert.equal(parseTarHeader(block), "end");
});

test("a wrong checksum is damage", () => {
  const block = tarEntry({ name: "n" });
  block[3] = 1;
  assert.equal(parseTarHeader(block), "damaged");
});
