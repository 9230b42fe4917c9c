/**
 * Something on the command line, in the environment or in the configuration file is wrong. The message is one line that
 * says what is allowed; the process ends with exit code 2.
 */
export class UsageError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "UsageError";
  }
}

const QUOTED_LENGTH = 120;

/** `text` for a message: in double quotes, on one line whatever is in it, the middle left out where it is long. */
export function quoted(text: string): string {
  const half = QUOTED_LENGTH / 2;
  const shown = text.length <= QUOTED_LENGTH ? text : `${text.slice(0, half)}...${text.slice(-half)}`;
  return JSON.stringify(shown);
}
