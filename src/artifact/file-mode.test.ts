import assert from "node:assert/strict";
import { test } from "node:test";
import { fileModeOf } from "./file-mode.ts";

const rows: { name: string; metadata: string | undefined; mode: number | undefined }[] = [
  { name: "no metadata", metadata: undefined, mode: undefined },
  { name: "the mode that blobs have", metadata: '{"mode":420}', mode: undefined },
  { name: "a program", metadata: '{"mode":493}', mode: 0o755 },
  { name: "readable by its owner alone: by all", metadata: '{"mode":384}', mode: undefined },
  { name: "executable by its owner alone", metadata: '{"mode":448}', mode: 0o744 },
  { name: "read-only", metadata: '{"mode":256}', mode: 0o444 },
  { name: "setuid, setgid, sticky", metadata: `{"mode":${0o7755}}`, mode: 0o755 },
  { name: "Go's bits for types", metadata: `{"mode":${2 ** 31 + 0o755}}`, mode: 0o755 },
  { name: "0: not set", metadata: '{"mode":0}', mode: undefined },
  { name: "text", metadata: '{"mode":"0755"}', mode: undefined },
  { name: "negative", metadata: '{"mode":-1}', mode: undefined },
  { name: "a fraction", metadata: '{"mode":493.5}', mode: undefined },
  { name: "no object", metadata: "[493]", mode: undefined },
  { name: "endless", metadata: `{"mode":493${" ".repeat(100_000)}}`, mode: undefined },
  { name: "no JSON", metadata: '{"mode":', mode: undefined },
];
for (const { name, metadata, mode } of rows) {
  test(name, () => {
    for (const key of ["org.cncf.model.file.metadata+json", "org.cnai.model.file.metadata+json"]) {
      assert.equal(fileModeOf({ annotations: metadata === undefined ? {} : { [key]: metadata } }), mode);
    }
  });
}
