import assert from "node:assert/strict";
import { test } from "node:test";
import { configuredArtifact, layer } from "../../test/registry/index.ts";
import { parseManifest } from "../oci/index.ts";
import { chartName } from "./chart-name.ts";
import { namingConfigOf } from "./layer-names.ts";

const TITLE = "org.opencontainers.image.title";
const VERSION = "org.opencontainers.image.version";

function chart(annotations: Record<string, string>, configBytes: string | Uint8Array = "{}", type = "helm.config.v1") {
  const config = layer(Buffer.from(configBytes), `application/vnd.cncf.${type}+json`);
  const parsed = parseManifest(configuredArtifact(config, [], { annotations }).bytes, undefined);
  assert.ok(parsed.kind === "manifest");
  return parsed;
}

const rows: { name: string; annotations?: Record<string, string>; config?: string; is: string; reads?: boolean }[] = [
  { name: "annotations", annotations: { [TITLE]: "a", [VERSION]: "1" }, is: "a-1", reads: false },
  { name: "the config", config: '{"name":"c","version":"2"}', is: "c-2" },
  {
    name: "an annotation before the config",
    annotations: { [TITLE]: "a" },
    config: '{"name":"c","version":"2"}',
    is: "a-2",
  },
  { name: "no version", config: '{"name":"c"}', is: "c" },
  { name: "nothing", is: "chart" },
  { name: "no JSON", config: "{", is: "chart" },
  { name: "no object", config: "[1]", is: "chart" },
  { name: "no texts", config: '{"name":{},"version":2}', is: "chart" },
];
for (const { name, annotations = {}, config, is, reads = true } of rows) {
  test(`a chart's name by ${name}`, () => {
    const manifest = chart(annotations, config);
    assert.equal(chartName(manifest, config === undefined ? undefined : Buffer.from(config)), is);
    assert.equal(namingConfigOf(manifest) !== undefined, reads, "the config is read only if it has something to say");
  });
}

test("a config that is none of Helm's, or huge, is not read", () => {
  assert.equal(namingConfigOf(chart({}, "{}", "flux.config.v1")), undefined);
  assert.equal(namingConfigOf(chart({}, Buffer.alloc(2 ** 20 + 1))), undefined);
});
