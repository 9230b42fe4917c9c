import { type AnyOptionTable, environmentName, flagName } from "./option.ts";

/** The flags of a command for `--help`: two lines each, in the table's order. */
export function flagsHelp(table: AnyOptionTable): string {
  const entries = Object.entries(table).map(([key, { description, parser, defaultText, short }]) => {
    const value = parser.standsAlone ? `[=${parser.placeholder}]` : ` ${parser.placeholder}`;
    const fallback = defaultText === "unset" ? "" : ` (default: ${defaultText})`;
    const name = `${short === undefined ? "" : `-${short}, `}--${flagName(key)}${value}`;
    return `  ${name}\n${wrapped(`${description}${fallback}`)}`;
  });
  return entries.join("");
}

/** So wide that it fits into most terminals. */
const COLUMNS = 100;
const INDENT = " ".repeat(6);

/** Indented lines of whole words. */
function wrapped(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || INDENT.length + last.length + 1 + word.length > COLUMNS) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map((line) => `${INDENT}${line}\n`).join("");
}

/** The flags of a command as a Markdown table, for the docs; those of `serve` can be set by the environment, too. */
export function flagsTable(table: AnyOptionTable, how: "with-environment" | "flags-only" = "with-environment"): string {
  const hasEnvironment = how === "with-environment";
  const rows = Object.entries(table).map(([key, { description, parser, defaultText, short }]) => {
    const name = `${short === undefined ? "" : `-${short}, `}--${flagName(key)}`;
    const flag = parser.standsAlone ? name : `${name} ${parser.placeholder}`;
    const fallback = defaultText === "unset" ? "" : `\`${defaultText}\``;
    const environment = hasEnvironment ? [`\`${environmentName(key)}\``] : [];
    return [`\`${flag}\``, ...environment, fallback, description].map(cell).join(" | ");
  });
  const head = ["Flag", ...(hasEnvironment ? ["Environment variable"] : []), "Default", "Meaning"];
  const line = head.map(() => "---").join(" | ");
  return [`| ${head.join(" | ")} |`, `| ${line} |`, ...rows.map((row) => `| ${row} |`)].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
