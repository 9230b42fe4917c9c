import { createLogger, type Logger } from "../../src/base/index.ts";

/** One line of a log: its fields, with `level` and `msg`. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A logger of all levels whose lines are kept. */
export function useLog(): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as LogLine);
  return { log: createLogger({ level: "trace", format: "json", write }), lines };
}
