import assert from "node:assert/strict";
import { test } from "node:test";
import { indexTypes, MANIFEST_ACCEPT, manifestTypes } from "./media-types.ts";

test("one Accept line names all manifests that are read, each once, OCI's first", () => {
  const types = MANIFEST_ACCEPT.split(", ");
  assert.deepEqual(new Set(types), new Set([...manifestTypes, ...indexTypes]));
  assert.equal(types.length, 5);
  assert.equal(types[0], "application/vnd.oci.image.manifest.v1+json");
  assert.doesNotMatch(MANIFEST_ACCEPT, /[\r\n;]/);
});
