import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { parseVolumeSpec } from "../../src/volume/volume-spec.ts";

const root = join(import.meta.dirname, "../..");
const DRIVER = "csi.oras.land";
/** The one that shows writing. */
const WRITABLE = "examples/writable.yaml";

/** The part of a volume or a PersistentVolume that is about a CSI driver. */
interface CsiSource {
  readonly driver?: unknown;
  readonly readOnly?: unknown;
  readonly volumeAttributes?: Readonly<Record<string, unknown>>;
}

const examples = readdirSync(join(root, "examples")).map((name) => `examples/${name}`);
const guides = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];

for (const file of examples) {
  test(`${file} is something that the driver takes`, () => {
    const sources = csiSources(parse(read(file)));
    assert.ok(sources.length > 0, "no volume of the driver is in it");
    for (const source of sources) {
      checkAttributes(source.volumeAttributes);
      if (file !== WRITABLE) assert.equal(source.readOnly, true);
    }
  });
}

test("the volumes in the guides are something that the driver takes", () => {
  const snippets = guides.flatMap((file) => yamlBlocks(read(file)).flatMap(parse));
  const sources = snippets.flatMap((snippet) => csiSources([snippet]));
  assert.ok(sources.length > 0, "there is no volume in any of them");
  for (const { volumeAttributes } of sources) if (volumeAttributes !== undefined) checkAttributes(volumeAttributes);
});

function checkAttributes(attributes: CsiSource["volumeAttributes"]): void {
  assert.ok(attributes, "the volume has no attributes");
  for (const [key, value] of Object.entries(attributes)) assert.equal(typeof value, "string", `${key} is no text`);
  parseVolumeSpec(attributes as Record<string, string>);
}

/** Every object below `value` that stands under the key `csi` and names the driver. */
function csiSources(value: unknown): CsiSource[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) =>
    key === "csi" && (child as CsiSource | null)?.driver === DRIVER ? [child as CsiSource] : csiSources(child),
  );
}

function parse(text: string): unknown[] {
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual(document.errors, [], text);
    return document.toJS();
  });
}

/** The YAML blocks of a Markdown text. */
function yamlBlocks(text: string): string[] {
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = ""]) => block);
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
