import assert from "node:assert/strict";
import { before, test } from "node:test";
import { describeArtifact } from "../../src/artifact/index.ts";
import { knownKinds } from "../../src/artifact/known-kinds.ts";
import { planOf } from "../../src/artifact/plan.ts";
import { DriverError } from "../../src/base/index.ts";
import { parseManifest } from "../../src/oci/index.ts";
import { knownArtifacts } from "../registry/index.ts";
import { runFuzz } from "./fuzz-run.ts";
import type { Prng } from "../helpers/prng.ts";
import { mutateJson } from "./random-json.ts";

let good: readonly object[] = [];
before(async () => {
  good = (await knownArtifacts()).map(({ manifest }) => JSON.parse(manifest.bytes.toString()) as object);
});

const words: readonly [string, ...string[]] = [
  "org.opencontainers.image.title",
  "org.cncf.model.filepath",
  "org.cnai.model.file.metadata+json",
  '{"mode":493}',
  "../../etc/passwd",
  "/etc/passwd",
  "a/../b/./c//",
  ".",
  "..",
  "a\0b",
  "x".repeat(300),
  "application/vnd.ollama.image...",
  ...knownKinds.flatMap(({ types, layers }) => [...types, ...layers.flatMap(({ mediaTypes }) => mediaTypes)]),
].map((word) => word.replaceAll("*", "v1")) as [string, ...string[]];

test("whatever a manifest says, files come to lie in the volume, or it is refused", async (t) => {
  await runFuzz(t, { iterations: 3000, tryOne: planMutated });
});

function planMutated(prng: Prng): string {
  const text = mutateJson(prng.pick(good as [object, ...object[]]), words, prng.pick([5, 20, 100]), prng);
  const refused = (error: unknown) => {
    if (!(error instanceof DriverError) || (error.kind !== "refused" && error.kind !== "bad-input")) throw error;
    assert.ok(error.message.length <= 1000, `the message has ${error.message.length} characters`);
    return undefined;
  };
  const attempt = <T>(call: () => T): T | undefined => {
    try {
      return call();
    } catch (error) {
      return refused(error);
    }
  };
  const manifest = attempt(() => parseManifest(Buffer.from(text), undefined));
  if (manifest?.kind !== "manifest") return "no manifest";
  const { problem, kind } = describeArtifact(manifest);
  const plan = attempt(() => planOf(manifest, { mediaTypes: [], titles: [] }));
  assert.equal(problem === undefined, plan !== undefined, "what is said of it is not what is made of it");
  if (plan === undefined) return "refused";
  for (const { path, kind: what, mode = 0o644 } of plan.layers) {
    const parts = path.split("/");
    assert.ok(what === "folder" ? path === "." || !parts.includes(".") : !parts.includes("."), path);
    assert.ok(!parts.includes("..") && !parts.includes("") && !path.includes("\0"), path);
    assert.equal(mode & 0o7444, 0o444);
  }
  return kind;
}
