import pino from "pino";

/** Names of the fields that log lines carry, so that one thing has one name everywhere. */
export type LogFields = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Severity of a line, lowest first; `silent` is for tests. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

/** Where log lines go. Values must be free of secrets: nothing filters them later. */
export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each line. */
  with(fields: LogFields): Logger;
}

/** How a logger writes. */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: "json" | "text";
  /** Takes one complete line, newline included. */
  readonly write: (line: string) => void;
}

/** A logger that writes one line a call: JSON, or text for people. */
export function createLogger(options: LoggerOptions): Logger {
  const stream = { write: options.format === "json" ? options.write : (line: string) => options.write(textLine(line)) };
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  return wrap(root);
}

/** A logger that writes nothing. */
export function createSilentLogger(): Logger {
  const nothing = () => undefined;
  const logger: Logger = {
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
    with: () => logger,
  };
  return logger;
}

function wrap(inner: pino.Logger): Logger {
  return {
    trace: (message, fields) => inner.trace(fields ?? {}, message),
    debug: (message, fields) => inner.debug(fields ?? {}, message),
    info: (message, fields) => inner.info(fields ?? {}, message),
    warn: (message, fields) => inner.warn(fields ?? {}, message),
    error: (message, fields) => inner.error(fields ?? {}, message),
    with: (fields) => wrap(inner.child(fields)),
  };
}

function textLine(json: string): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  return `${onOneLine(`${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}${rest.join("")}`)}\n`;
}

/** Messages tell what registries and artifacts said: a line end in one would look like a line of the log. */
function onOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
