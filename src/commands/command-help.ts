import { type AnyOptionTable, flagsHelp } from "../config/index.ts";
import type { Command } from "./command.ts";

/** What `oras-csi --help` prints: the commands, and how their flags are found. */
export function overview(commands: Readonly<Record<string, Command>>): string {
  const list = Object.entries({ ...commands, help: { summary: "show this, or with a command's name its flags" } });
  return `A CSI driver that mounts OCI artifacts into pods.

Usage: oras-csi COMMAND [--FLAG ...]
       oras-csi [--FLAG ...]          the driver, as with oras-csi serve

Commands:
${commandList(list)}
Examples:
${exampleList(["inspect ghcr.io/org/model:v1", "pull ghcr.io/org/model:v1 -o model", "cache ls"])}
See oras-csi COMMAND --help for flags (oras-csi serve --help: those of the driver), and oras-csi --version.
`;
}

/** What a command's own `--help` prints; `name` is what is typed for it. */
export function commandHelp(name: string, command: Command): string {
  const { summary, usage, about, examples, options, commands } = command;
  const text = [`Usage: ${`oras-csi ${name} ${usage}`.trimEnd()}\n`, `${capitalised(summary)}.\n`];
  if (about !== undefined) text.push(`${about}\n`);
  if (commands !== undefined) {
    text.push(
      `Commands:\n${commandList(Object.entries(commands))}`,
      `See oras-csi ${name} COMMAND --help for flags.\n`,
    );
  }
  if (examples !== undefined) text.push(`Examples:\n${exampleList(examples)}`);
  if (Object.keys(options).length > 0) text.push(flagsSection(options));
  return text.join("\n");
}

function commandList(commands: readonly (readonly [string, { readonly summary: string }])[]): string {
  return commands.map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}\n`).join("");
}

function exampleList(examples: readonly string[]): string {
  return examples.map((example) => `  oras-csi ${example}\n`).join("");
}

function flagsSection(options: AnyOptionTable): string {
  return `Flags:
${flagsHelp(options)}
  --help, --version
      show this; print the version

A flag is written --flag VALUE, --flag=VALUE, or with one dash.
`;
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
