import { type AnyOptionTable, environmentName, flagName } from "./option.ts";

/** The flags of a command for `--help`: two lines each, in the table's order. */
export function flagsHelp(table: AnyOptionTable): string {
  const entries = Object.entries(table).map(([key, { description, parser, defaultText }]) => {
    const value = parser.standsAlone ? `[=${parser.placeholder}]` : ` ${parser.placeholder}`;
    return `  --${flagName(key)}${value}\n      ${description} (default: ${defaultText})\n`;
  });
  return entries.join("");
}

/** The flags of a command as a Markdown table, for the docs. */
export function flagsTable(table: AnyOptionTable): string {
  const rows = Object.entries(table).map(([key, { description, parser, defaultText }]) => {
    const flag = parser.standsAlone ? `--${flagName(key)}` : `--${flagName(key)} ${parser.placeholder}`;
    const fallback = defaultText === "unset" ? "" : `\`${defaultText}\``;
    return [`\`${flag}\``, `\`${environmentName(key)}\``, fallback, description].map(cell).join(" | ");
  });
  const head = ["Flag", "Environment variable", "Default", "Meaning"].join(" | ");
  return [`| ${head} |`, "| --- | --- | --- | --- |", ...rows.map((row) => `| ${row} |`)].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
