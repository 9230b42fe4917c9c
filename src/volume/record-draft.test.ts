import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { createSilentLogger, FileDraft, writeFileDurably } from "../base/index.ts";
import { RecordDraft, type RecordDraftOptions } from "./record-draft.ts";
import type { VolumeRecord } from "./records.ts";

const record = { volumeId: "v" } as VolumeRecord;

function use(t: TestContext, published: readonly VolumeRecord[] = []) {
  const folder = useTempFolder(t);
  const records: RecordDraftOptions["records"] = {
    ofVolume: () => published,
    draft: () => FileDraft.open(folder, true),
    fill: (file, wanted) => file.fill(wanted.volumeId),
  };
  const names = () => readdirSync(folder);
  return { folder, names, begin: () => RecordDraft.begin({ records, log: createSilentLogger() }, "v") };
}

test("a draft that is not used leaves nothing, whatever was expected of it", async (t) => {
  const { begin, names } = use(t);
  for (const expected of [[], [undefined], [record]]) {
    await using draft = begin();
    assert.ok(await draft.file);
    for (const each of expected) draft.expect(each);
    await draft.drop();
    assert.deepEqual(names(), []);
  }
});

test("a draft becomes the record that was expected", async (t) => {
  const { begin, names, folder } = use(t);
  {
    await using draft = begin();
    draft.expect(record);
    await writeFileDurably(join(folder, "a"), "v", { draft: await draft.file });
  }
  assert.deepEqual(names(), ["a"]);
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "v");
});

test("for a volume that is published somewhere none is made before a record is expected", async (t) => {
  const { begin, names } = use(t, [record]);
  await using draft = begin();
  assert.equal(await draft.file, undefined);
  assert.deepEqual(names(), []);
  draft.expect(record);
  assert.ok(await draft.file);
  assert.equal(names().length, 1);
});
