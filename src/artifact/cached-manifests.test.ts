import assert from "node:assert/strict";
import { chmodSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { one, useResolver } from "../../test/helpers/resolver-bench.ts";
import { digestOf } from "../oci/index.ts";

test("a good manifest is read back only when its file is another one or was changed", async (t) => {
  await using used = await useResolver();
  const { resolve, asked, area } = used;
  await resolve();
  const read = t.mock.method(area.cache.blobs, "read");
  for (let i = 0; i < 3; i++) await resolve();
  assert.equal(read.mock.callCount(), 0);
  const path = area.cache.layout.blob(digestOf(one.bytes));
  const { atime, mtime } = statSync(path);
  utimesSync(path, atime, new Date(0));
  for (let i = 0; i < 3; i++) await resolve();
  assert.equal(read.mock.callCount(), 1);
  const wrong = Buffer.from(one.bytes);
  wrong[0] = 0;
  writeFileSync(path, wrong);
  utimesSync(path, atime, mtime);
  asked();
  assert.equal(await resolve(), one.digest);
  assert.deepEqual(asked(), ["GET v1"]);
  rmSync(path);
  assert.equal(await resolve(), one.digest);
  assert.deepEqual(asked(), ["GET v1"]);
  assert.equal(await resolve(), one.digest);
  assert.deepEqual(asked(), []);
});

for (const [name, bytes] of [
  ["lost bytes", ""],
  ["changed", Buffer.from(one.bytes).fill(0x20, 10, 12)],
] as const) {
  test(`a manifest that the disk has ${name} is fetched again`, async () => {
    await using used = await useResolver();
    await used.resolve();
    const file = used.area.cache.layout.blob(digestOf(one.bytes));
    chmodSync(file, 0o644);
    writeFileSync(file, bytes);
    used.asked();
    assert.equal(await used.resolve(), one.digest);
    assert.deepEqual(used.asked(), ["GET v1"]);
    assert.equal(await used.resolve({ policy: "Never" }), one.digest);
  });
}
