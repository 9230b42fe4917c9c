import { DriverError } from "../base/index.ts";

/**
 * Runs a request whose answer is verified by digest; if the bytes are wrong it is asked once more from the start, since
 * a broken cache on the way is often right the second time.
 */
export async function onceMoreIfCorrupt<T>(request: () => Promise<T>, restart?: () => Promise<void>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof DriverError) || error.kind !== "corrupt") throw error;
    await restart?.();
    return request();
  }
}
