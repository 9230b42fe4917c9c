import assert from "node:assert/strict";
import { fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { FileContent, type OpenFile } from "./file-content.ts";
import type { LayerFolder } from "./layer-folder.ts";
import type { LayerTable } from "./layer-index.ts";

// A sparse file's size that no file system has, a disk that cannot be read back, an owner that may not be set.
for (const step of ["setSize", "hash", "finishFile"] as const) {
  test(`a file that cannot be ended is closed with the rest: ${step}`, (t) => {
    const fail = () => {
      throw new Error("EFBIG");
    };
    const folder = {
      setSize: () => undefined,
      hash: () => Buffer.alloc(32),
      finishFile: () => undefined,
      [step]: fail,
    };
    const table = { canKeep: () => true, putSparse: () => undefined };
    const content = new FileContent(folder as unknown as LayerFolder, table as unknown as LayerTable, true);
    const descriptor = openSync(join(useTempFolder(t), "file"), "w");
    content.begin({
      descriptor,
      path: Buffer.from("file"),
      size: 2 ** 53,
      sparse: { ranges: () => [] },
    } as unknown as OpenFile);
    assert.throws(() => content.end(), /EFBIG/);
    content.close();
    assert.throws(() => fstatSync(descriptor), { code: "EBADF" });
  });
}
