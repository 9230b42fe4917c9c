import type { Stats } from "node:fs";

/** Tells one state of a file from another: changed content, another file of that name, a changed owner or mode. */
export function fileStamp({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}
