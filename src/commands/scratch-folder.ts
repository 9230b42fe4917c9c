import { createHash } from "node:crypto";
import { chmodSync, lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf, withShortPath } from "../base/index.ts";
import { createLayout } from "../cache/index.ts";

/** Set on a folder it does nothing; no artifact's folder has it (contract.md, Modes). */
const MARK = 0o4000;

/**
 * Where what is half-made lies: in the output folder, on its file system. The name is the same each time, and one that an
 * artifact's file has by chance only: it is made of what nobody elsewhere knows of the folder.
 */
export function scratchIn(folder: string): string {
  const { ino, birthtimeNs } = statSync(folder, { bigint: true });
  const known = createHash("sha256").update(`${ino} ${birthtimeNs}`).digest("hex");
  return join(folder, `.oras-csi-pull-${known.slice(0, 16)}`);
}

/** What is in its place and can be no scratch folder goes: a link would lead elsewhere. */
export function clearWay(scratch: string): void {
  const there = lstatSync(scratch, { throwIfNoEntry: false });
  if (there !== undefined && !there.isDirectory()) rmSync(scratch);
}

/** Under the scratch folder's lock: what an artifact has put there is no cache that could be trusted, and goes. */
export function dropUnlessOurs(scratch: string): void {
  if ((statSync(scratch).mode & MARK) !== 0) return;
  const lock = basename(createLayout(scratch).lockFile);
  for (const name of readdirSync(scratch)) {
    if (name !== lock) removeScratch(join(scratch, name));
  }
}

/** What is in it now may be gone on with. */
export function markOurs(scratch: string): void {
  chmodSync(scratch, 0o700 | MARK);
}

/** Takes a scratch folder away, or something in it. What is unpacked there may have folders that not even their own user can write to. */
export function removeScratch(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    openFolders(Buffer.from(path));
    rmSync(path, { recursive: true, force: true });
  }
}

/** Lets the user into a folder, and those in it. */
function openFolders(folder: Buffer): void {
  withShortPath(folder, (path) => chmodSync(path, 0o700));
  for (const entry of withShortPath(folder, (path) => readdirSync(path, { encoding: "buffer", withFileTypes: true }))) {
    if (entry.isDirectory()) openFolders(Buffer.concat([folder, Buffer.from("/"), entry.name]));
  }
}
