import { errnoOf } from "./errors.ts";

/** What a look at a path finds; undefined if the path leads nowhere. Other failures stay failures. */
export async function unlessMissing<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
