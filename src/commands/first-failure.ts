import { DriverError } from "../base/index.ts";
import { inClientWords } from "./client-words.ts";

/** What the driver advises when it gives up: a command that goes on says that instead. */
const LATER = "; the driver tries again with the next call";

/** Is told of each try that failed while more are to come, and writes one line about the first: what takes so long. */
export function tellFirstFailure(write: (text: string) => void): (message: string) => void {
  let isTold = false;
  return (message) => {
    if (isTold) return;
    isTold = true;
    const told = inClientWords(new DriverError("unavailable", message.replace(LATER, "")));
    if (told instanceof DriverError) write(`oras-csi: ${told.message} (trying again)\n`);
  };
}
