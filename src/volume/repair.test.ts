import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { useLog } from "../../test/helpers/log-lines.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { type VolumeRecord, volumeKeyOf } from "./records.ts";
import { Repair, stateOf } from "./repair.ts";

function targetIn(pods: string, uid: string): string {
  return join(pods, uid, "volumes/kubernetes.io~csi/data/mount");
}

function recordAt(targetPath: string): VolumeRecord {
  const key = volumeKeyOf("v", targetPath);
  const rest = { tree: undefined, spec: undefined, readOnly: false, namespace: "default", reference: undefined };
  return { key, volumeId: "v", targetPath, ...rest };
}

describe("a folder above a target", () => {
  test("is gone only while some pod's folder is there", async (t) => {
    const folder = useTempFolder(t);
    const pods = join(folder, "pods");
    const target = targetIn(pods, "uid-1");
    assert.equal(await stateOf(target), "unseen", "no pods folder");
    mkdirSync(pods);
    writeFileSync(join(pods, "a-file"), "");
    assert.equal(await stateOf(target), "unseen", "no pod's folder in it");
    mkdirSync(join(pods, "uid-2"));
    assert.equal(await stateOf(target), "gone");
    mkdirSync(join(pods, "uid-1"));
    assert.equal(await stateOf(target), "gone", "the pod is there, the volume is not");
    mkdirSync(join(target, ".."), { recursive: true });
    assert.equal(await stateOf(target), "there");
  });

  test("of another form is gone while the folder above it is there", async (t) => {
    const folder = useTempFolder(t);
    const target = join(folder, "pod", "volume", "target");
    assert.equal(await stateOf(target), "unseen");
    mkdirSync(join(folder, "pod"));
    assert.equal(await stateOf(target), "gone");
    mkdirSync(join(folder, "pod/volume"));
    assert.equal(await stateOf(target), "there");
  });
});

describe("looking after volumes", () => {
  function use(folder: string) {
    const { log, lines } = useLog();
    const records: VolumeRecord[] = ["uid-1", "uid-2"].map((uid) => recordAt(targetIn(join(folder, "pods"), uid)));
    const forgotten: VolumeRecord[] = [];
    const clock = new ManualClock();
    const forget = async (record: VolumeRecord) => {
      forgotten.push(record);
    };
    const repair = new Repair({ records: { all: () => records }, forget, clock, log });
    return { repair, records, forgotten, clock, lines };
  }

  test("forgets what kubelet has removed, and nothing else", async (t) => {
    const folder = useTempFolder(t);
    const { repair, records, forgotten } = use(folder);
    mkdirSync(join(records[0]?.targetPath ?? "", ".."), { recursive: true });
    await repair.look();
    assert.deepEqual(forgotten, [records[1]]);
  });

  test("says once that it sees no pods at all, and forgets nothing", async (t) => {
    const folder = useTempFolder(t);
    const { repair, records, forgotten, lines } = use(folder);
    for (let i = 0; i < 3; i++) await repair.look();
    const parent = join(records[0]?.targetPath ?? "", "..");
    mkdirSync(parent, { recursive: true });
    await repair.look();
    assert.deepEqual(forgotten, [records[1]]);
    rmSync(join(folder, "pods"), { recursive: true });
    await repair.look();
    assert.deepEqual(forgotten, [records[1]]);
    assert.equal(lines.filter(({ msg }) => String(msg).includes("no pod's folder can be seen")).length, 2);
  });

  test("is done at once, and once a minute until it is closed", async (t) => {
    const { repair, forgotten, clock, records } = use(useTempFolder(t));
    for (const { targetPath } of records) mkdirSync(join(targetPath, "../../../../../other"), { recursive: true });
    repair.start();
    while (clock.pending === 0) await new Promise(setImmediate);
    assert.equal(forgotten.length, 2);
    clock.advance(60_000);
    while (clock.pending === 0) await new Promise(setImmediate);
    assert.equal(forgotten.length, 4);
    await repair.close();
    assert.equal(clock.pending, 0);
  });
});
