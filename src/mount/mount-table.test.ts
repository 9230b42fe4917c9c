import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  entriesBelow,
  findInMountTable,
  hasUpperDir,
  keepsMountsInside,
  type MountEntry,
  parseMountTable,
} from "./mount-table.ts";

const table = Buffer.from(
  [
    "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard",
    "28 27 0:25 /sub /mnt/a ro,nosuid,nodev,noatime shared:2 master:1 propagate_from:7 - tmpfs source rw,size=4k",
    "29 27 0:26 / /mnt/with\\040space\\011tab\\012line\\134back rw unbindable - ext4 /dev/odd\\040name rw",
    "30 28 0:27 / /mnt/a/b rw - fuse.some-thing  rw,user_id=0",
    "",
  ].join("\n"),
);

test("parses fields, tags and escapes", () => {
  const [root, shared, odd, fuse] = parseMountTable(table);
  assert.deepEqual(root, {
    mountId: 27,
    parentId: 1,
    device: "254:0",
    root: "/",
    mountPoint: "/",
    mountPointBytes: Buffer.from("/"),
    options: ["rw", "relatime"],
    readOnly: false,
    sharedGroup: 1,
    masterGroup: undefined,
    fsType: "ext4",
    source: "/dev/vda",
    superOptions: "rw,discard",
  });
  assert.deepEqual([shared?.root, shared?.sharedGroup, shared?.masterGroup, shared?.readOnly], ["/sub", 2, 1, true]);
  assert.equal(odd?.mountPoint, "/mnt/with space\ttab\nline\\back");
  assert.equal(odd?.source, "/dev/odd name");
  assert.deepEqual([fuse?.fsType, fuse?.source, fuse?.superOptions], ["fuse.some-thing", "", "rw,user_id=0"]);
});

test("names are bytes", () => {
  const line = Buffer.concat([
    Buffer.from("5 1 0:1 / /mnt/\u00fc\u6f22-"),
    Buffer.from([0xff, 0xfe]),
    Buffer.from(" rw - tmpfs none rw\n"),
  ]);
  const [entry] = parseMountTable(line);
  assert.equal(entry?.mountPoint, "/mnt/\u00fc\u6f22-\ufffd\ufffd");
  assert.deepEqual(
    entry?.mountPointBytes,
    Buffer.concat([Buffer.from("/mnt/\u00fc\u6f22-"), Buffer.from([0xff, 0xfe])]),
  );
});

test("lines of another form are left out", () => {
  assert.deepEqual(parseMountTable(Buffer.from("")), []);
  assert.deepEqual(parseMountTable(Buffer.from("garbage\n1 2 3\n1 2 3 4 5 6 7\n - \n\n1 2 - tmpfs\n")), []);
});

test("finds one entry by its id, also the first and the last", () => {
  for (const entry of parseMountTable(table)) assert.deepEqual(findInMountTable(table, entry.mountId), entry);
  assert.deepEqual(findInMountTable(table.subarray(0, -1), 30)?.mountPoint, "/mnt/a/b");
  assert.equal(findInMountTable(table, 2), undefined);
  assert.equal(findInMountTable(table, 254), undefined);
});

test("reads this process's own table", () => {
  const own = readFileSync("/proc/self/mountinfo");
  const entries = parseMountTable(own);
  assert.equal(entries.length, own.toString().trimEnd().split("\n").length);
  for (const entry of entries) {
    assert.ok(Number.isInteger(entry.mountId) && Number.isInteger(entry.parentId), JSON.stringify(entry));
    assert.match(entry.mountPoint, /^\//);
    assert.notEqual(entry.fsType, "");
  }
});

test("what is below: by mount ids, and by path only on the mount that the path lies on", () => {
  const at = (mountId: number, parentId: number, path: string) =>
    `${mountId} ${parentId} 0:1 / ${path} rw - tmpfs x rw`;
  const lines = [
    at(1, 0, "/"),
    at(2, 1, "/a"),
    at(3, 1, "/a/b"),
    at(4, 2, "/a/b"),
    at(5, 4, "/a/b/c"),
    at(6, 1, "/ab"),
  ];
  const entries = parseMountTable(Buffer.from(lines.join("\n")));
  const below = (mountId: number, canonical: string) =>
    entriesBelow(entries, { mountId, canonical: Buffer.from(canonical) }).map((entry: MountEntry) => entry.mountId);
  assert.deepEqual(below(2, "/a"), [5, 4]);
  assert.deepEqual(below(1, "/a"), [3]);
  assert.deepEqual(below(1, "/"), [5, 4, 6, 3, 2]);
  assert.deepEqual(below(5, "/a/b/c"), []);
});

test("a mount that is its own parent ends the search", () => {
  const entries = parseMountTable(Buffer.from("1 1 0:1 / / rw - tmpfs x rw\n2 1 0:1 / /a rw - tmpfs x rw\n"));
  const found = entriesBelow(entries, { mountId: 1, canonical: Buffer.from("/") });
  assert.deepEqual(
    found.map((entry) => entry.mountId),
    [2],
  );
});

test("an overlay's upper folder is known in each way that kernels write it", () => {
  const overlay = (fsType: string, options: string) =>
    parseMountTable(Buffer.from(`1 2 0:1 / /t rw - ${fsType} overlay rw,lowerdir=/l,${options},workdir=/w\n`))[0]!;
  assert.ok(hasUpperDir(overlay("overlay", "upperdir=/data/up"), "/data/up"));
  assert.ok(hasUpperDir(overlay("overlay", "upperdir=/data\\054a:b\\040c"), "/data,a:b c"));
  assert.ok(hasUpperDir(overlay("overlay", "upperdir=/data\\134\\054a\\134:b"), "/data,a:b"));
  assert.ok(!hasUpperDir(overlay("overlay", "upperdir=/data/upper"), "/data/up"));
  assert.ok(!hasUpperDir(overlay("overlay", "x=y"), "/data/up"));
  assert.ok(!hasUpperDir(overlay("tmpfs", "upperdir=/data/up"), "/data/up"));
});

test("mounts stay inside below a private mount that is not the root", () => {
  assert.ok(keepsMountsInside({ mountPoint: "/var/lib/kubelet/pods", sharedGroup: undefined }));
  assert.ok(!keepsMountsInside({ mountPoint: "/var/lib/kubelet/pods", sharedGroup: 5 }));
  assert.ok(!keepsMountsInside({ mountPoint: "/", sharedGroup: undefined }));
});
