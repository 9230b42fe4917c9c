import { promises as fs } from "node:fs";
import { unlessMissing } from "../base/index.ts";

/** Whether two paths lead to one folder of one file system: what a bind mount shows at two places is one. */
export async function isSameFolder(first: string, second: string): Promise<boolean> {
  const [one, other] = await Promise.all([first, second].map((path) => unlessMissing(fs.stat(path, { bigint: true }))));
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}
