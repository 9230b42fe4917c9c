import { styleText } from "node:util";

/** Prints the demo's story. Colours only on a terminal, and not where NO_COLOR is set. */
export interface Printer {
  /** A new scene, numbered. */
  scene(title: string): void;
  /** A plain line below it. */
  line(text: string): void;
  /** Something that came out as it should. */
  good(text: string): void;
  /** A detail that may be skipped. */
  detail(text: string): void;
  /** What somebody else said, in their own words. */
  quote(text: string): void;
}

type Style = Parameters<typeof styleText>[0];

/** A printer on standard output. */
export function createPrinter(): Printer {
  const { stdout, env } = process;
  const coloured = stdout.isTTY && (env["NO_COLOR"] ?? "") === "";
  const paint = (style: Style, text: string) => (coloured ? styleText(style, text, { validateStream: false }) : text);
  const print = (text: string) => void stdout.write(`${text}\n`);
  // A reader that went away (`npm run demo | head`) is no reason to stop half-way and leave something behind.
  stdout.on("error", () => undefined);
  let scenes = 0;
  return {
    scene(title) {
      scenes += 1;
      print(`\n${paint(["bold", "cyan"], `${scenes}  ${title}`)}`);
    },
    line: (text) => print(text === "" ? "" : `   ${text}`),
    good: (text) => print(`   ${paint("green", "✔")} ${text}`),
    detail: (text) => print(`   ${paint("dim", text)}`),
    quote: (text) => print(`     ${paint("yellow", text)}`),
  };
}

/** `24.0 MB`, in powers of 1000. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ["kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length);
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** `12 ms`, or `1.2 s` from a second on. */
export function formatMs(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
