import { errnoOf, isUnreadable } from "../base/index.ts";

/** Sets right what a fault is about; what is to be added to the fault's text: why it could not be, or nothing. */
export function setRight(work: () => void): string {
  try {
    work();
    return "";
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const code = errnoOf(error);
    // What went meanwhile needs nothing.
    if (code === "ENOENT") return "";
    return `, and cannot be set right (${code})`;
  }
}
