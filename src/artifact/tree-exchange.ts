import { randomUUID } from "node:crypto";
import { lstatSync, readdirSync, readlinkSync, renameSync, type Stats } from "node:fs";
import { below, errnoOf, withShortPath } from "../base/index.ts";
import { copyFacts } from "./file-linker.ts";

/** What a mend works with; all of it lies on one file system. */
export interface TreeExchangeOptions {
  /** The tree as it should be, in tmp/; what it holds may be moved away. */
  readonly staged: string;
  /** The tree that is mounted: its root stays the folder that it is. */
  readonly tree: string;
  /** A folder in tmp/ for what is taken out. */
  readonly aside: string;
}

/**
 * Makes a tree that pods have mounted what a staged one is: each file that differs is replaced by a rename, so that who
 * opens it finds the old or the new one, and who has it open keeps what he has. Gives the number of entries that were
 * replaced, added or taken out. Synchronous: for a worker. Nothing is synced.
 */
export function exchangeTree({ staged, tree, aside }: TreeExchangeOptions): number {
  return exchangeFolder(Buffer.from(staged), Buffer.from(tree), Buffer.from(aside));
}

function exchangeFolder(staged: Buffer, tree: Buffer, aside: Buffer): number {
  let changes = 0;
  // What is moved out of it changes its time.
  const facts = withShortPath(staged, (path) => lstatSync(path, { bigint: true }));
  const wanted = namesIn(staged);
  const names = new Set(wanted.map((name) => name.toString("latin1")));
  for (const name of namesIn(tree)) {
    if (names.has(name.toString("latin1"))) continue;
    moveAside(below(tree, name), aside);
    changes++;
  }
  for (const name of wanted) changes += exchangeEntry(below(staged, name), below(tree, name), aside);
  withShortPath(tree, (path) => copyFacts(facts, path));
  return changes;
}

function exchangeEntry(staged: Buffer, tree: Buffer, aside: Buffer): number {
  const good = lookAtExisting(staged);
  const there = lookAt(tree);
  if (there !== undefined && good.isDirectory() && there.isDirectory()) return exchangeFolder(staged, tree, aside);
  if (there !== undefined && isSame(good, there, staged, tree)) return 0;
  if (there?.isDirectory() || (there !== undefined && good.isDirectory())) moveAside(tree, aside);
  moveOver(staged, tree);
  return 1;
}

/** Whether two entries are one file, or links to one place. */
function isSame(good: Stats, there: Stats, staged: Buffer, tree: Buffer): boolean {
  if (good.ino === there.ino && good.dev === there.dev) return true;
  if (!good.isSymbolicLink() || !there.isSymbolicLink()) return false;
  const [one, other] = [staged, tree].map((path) =>
    withShortPath(path, (short) => readlinkSync(short, { encoding: "buffer" })),
  );
  return one !== undefined && other !== undefined && one.equals(other);
}

function moveOver(from: Buffer, to: Buffer): void {
  withShortPath(from, (source) => withShortPath(to, (target) => renameSync(source, target)));
}

function moveAside(path: Buffer, aside: Buffer): void {
  moveOver(path, below(aside, Buffer.from(`taken-${randomUUID()}`)));
}

function namesIn(folder: Buffer): Buffer[] {
  return withShortPath(folder, (path) => readdirSync(path, { encoding: "buffer" }));
}

function lookAtExisting(path: Buffer): Stats {
  return withShortPath(path, (short) => lstatSync(short));
}

function lookAt(path: Buffer): Stats | undefined {
  try {
    return lookAtExisting(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
