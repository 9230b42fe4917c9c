import assert from "node:assert/strict";
import { test } from "node:test";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { excessOver, readDiskSpace } from "./disk-space.ts";

test("what only root may use is used, as kubelet reckons", { skip: whyNoSmallDisk() }, async () => {
  using disk = useSmallDisk({ reservedPercent: 40 });
  const space = await readDiskSpace(disk.path);
  const available = space.availableBytes / space.totalBytes;
  assert.ok(available > 0.5 && available < 0.65, `${available * 100} % are available`);
  assert.ok(excessOver(30, space).bytes > 0.05 * space.totalBytes);
  assert.deepEqual(excessOver(50, space), { bytes: 0, inodes: 0 });
});

test("a file system without a number of inodes has never too many", () => {
  const space = { totalBytes: 100, availableBytes: 10, totalInodes: 0, availableInodes: 0 };
  assert.deepEqual(excessOver(75, space), { bytes: 15, inodes: 0 });
});
