import { knownKinds, type LayerRule, type NameRule } from "./known-kinds.ts";

/** The known kinds as a Markdown table, for the docs. */
export function kindsTable(): string {
  const rows = knownKinds.flatMap(({ name, types, layers, configFile }) => {
    const told = types.length === 0 ? "its layers" : types.map(code).join("<br>");
    const config = configFile === undefined ? [] : [["its config", `file \`${configFile}\``]];
    const cells = [...config, ...layers.map((rule) => [layerCell(rule), becomes(rule)])];
    return cells.map((two, at) => (at === 0 ? [name, told, ...two] : ["", "", ...two]));
  });
  const head = ["Kind", "`artifactType` or config's type", "Layer", "Becomes"];
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

function layerCell({ mediaTypes }: LayerRule): string {
  return mediaTypes.map((glob) => (glob === "**" ? "any other" : code(glob))).join("<br>");
}

function becomes({ unpacked, names }: LayerRule): string {
  return names.map((name, at) => (at === 0 ? "" : "without a path: ") + describeName(name, unpacked)).join("; ");
}

function describeName(name: NameRule, unpacked: boolean): string {
  switch (name.by) {
    case "filepath":
      return unpacked
        ? "unpacked at the root, or below the path where no entry begins with it"
        : "file at the annotation's path";
    case "root":
      return "unpacked at the root";
    case "name":
      return `file \`${name.name}\``;
    case "part":
      return `file \`${name.name}\`; several are numbered \`-00001-of-0000N\``;
    case "last-word":
      return "file named by the last word of the type (`model`); a second one `license-2`";
    case "chart":
      return `file \`<chart>-<version>${name.suffix}\``;
  }
}

function code(text: string): string {
  return `\`${text}\``;
}
