import { DriverError } from "../base/index.ts";

/** What is thrown for an index that cannot be what was written. */
export function corruptIndex(why: string): DriverError {
  return new DriverError("corrupt", `cannot read the index of an unpacked layer: ${why}`);
}

/** The same for a name that no tar can have made. */
export function wrongName(): DriverError {
  return corruptIndex("one of its names cannot be");
}
