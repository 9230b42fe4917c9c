import { annotationKeys, type Descriptor, isJsonObject, type Manifest } from "../oci/index.ts";

/** No file system has longer names, and a manifest may have thousands of layers. */
const MAX_NAME_LENGTH = 255;
/** A chart's config is its Chart.yaml as JSON: some kilobytes. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/** What Helm calls a packaged chart, without its ending: `<chart>-<version>`, as far as anything says either. */
export function chartName({ annotations }: Manifest, config: Uint8Array | undefined): string {
  const told = config === undefined ? {} : chartIn(config);
  const chart = annotations[annotationKeys.title] || told.chart || "chart";
  const version = annotations[annotationKeys.version] || told.version;
  return version ? `${chart}-${version}` : chart;
}

/** Whether files can have that name, an ending beside it. */
export function isFileName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH;
}

/** Whether the config has to be read, since the manifest's annotations do not say what the chart is called. */
export function needsChartConfig({ annotations }: Manifest, config: Descriptor): boolean {
  const isTold = Boolean(annotations[annotationKeys.title] && annotations[annotationKeys.version]);
  return !isTold && config.size <= MAX_CONFIG_BYTES;
}

function chartIn(config: Uint8Array): { readonly chart?: string; readonly version?: string } {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(config).toString());
  } catch {
    // It says nothing then: the chart is there all the same.
    return {};
  }
  if (!isJsonObject(value)) return {};
  const { name, version } = value;
  return {
    ...(typeof name === "string" ? { chart: name } : {}),
    ...(typeof version === "string" ? { version } : {}),
  };
}
