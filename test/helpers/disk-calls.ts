import nodeFs, { constants, promises as fs } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { TestContext } from "node:test";

/** What changes a disk, as it is called: one line each. */
export interface DiskCalls {
  /** `rename tmp/* -> blobs/sha256/ab…`: paths relative to `folder`, random names as `*`, digests shortened. */
  readonly calls: readonly string[];
  /** No more is watched, and nothing fails any more. */
  stop(): void;
}

const changing = ["rename", "unlink", "rm", "rmdir", "mkdir", "symlink", "chmod", "writeFile"] as const;
const randomName = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/**
 * Watches what is done to the files of a folder through node:fs' promises and its callback open and write (a write that is
 * synced is a "sync"). From the call `failFrom` (0 is the first)
 * on everything fails, as if the process had been killed before it: what was done stays, nothing is cleaned up. What
 * the sweeper does in the background to what was discarded is left out.
 */
export function watchDisk(t: TestContext, folder: string, failFrom = Number.POSITIVE_INFINITY): DiskCalls {
  const calls: string[] = [];
  const note = (name: string, ...paths: unknown[]) => {
    if (String(paths[0]).includes("/tmp/gone-")) return;
    if (calls.length >= failFrom) throw new Error("killed");
    const shown = paths.map((path) =>
      String(path)
        .replace(`${folder}/`, "")
        .replace(randomName, "*")
        .replace(/[0-9a-f]{64}/g, (hex) => hex.slice(0, 4)),
    );
    calls.push(`${name} ${shown.join(" -> ")}`);
  };
  const mocks = changing.map((name) => {
    const original = fs[name].bind(fs) as (...args: unknown[]) => Promise<unknown>;
    return t.mock.method(fs, name, async (...args: unknown[]) => {
      const pathCount = name === "rename" || name === "symlink" ? 2 : 1;
      note(name, ...args.slice(0, pathCount));
      return original(...args);
    });
  });
  const open = fs.open.bind(fs);
  const mockedOpen = t.mock.method(fs, "open", async (...args: Parameters<typeof open>) => {
    if (args[1] !== "r") note(args[1] === "wx" ? "create" : "open", args[0]);
    const file = await open(...args);
    const sync = file.sync.bind(file);
    file.sync = async () => {
      note("sync", args[0]);
      await sync();
    };
    return file;
  });
  const drafts = watchDrafts(t, note);
  return {
    calls,
    stop() {
      for (const mocked of [...mocks, mockedOpen, ...drafts]) mocked.mock.restore();
      syncBuiltinESMExports();
    },
  };
}

type Done = (error: unknown, result?: number) => void;

/** Files that are made by open(2) with O_SYNC are on disk when their write ends. */
function watchDrafts(t: TestContext, note: (name: string, path: unknown) => void) {
  const synced = new Map<number, unknown>();
  const open = nodeFs.open as (path: unknown, flags: unknown, mode: unknown, done: Done) => void;
  const write = nodeFs.write as (fd: number, bytes: unknown, at: unknown, done: Done) => void;
  const ifNoted = (name: string, path: unknown, done: Done, go: () => void) => {
    try {
      note(name, path);
    } catch (error) {
      return process.nextTick(done, error);
    }
    go();
  };
  const mocks = [
    t.mock.method(nodeFs, "open", (path: unknown, flags: number, mode: unknown, done: Done) => {
      const opened: Done = (error, fd) => {
        if (fd !== undefined && (flags & constants.O_SYNC) === constants.O_SYNC) synced.set(fd, path);
        done(error, fd);
      };
      ifNoted("create", path, done, () => open(path, flags, mode, opened));
    }),
    t.mock.method(nodeFs, "write", (fd: number, bytes: unknown, at: unknown, done: Done) => {
      if (!synced.has(fd)) return write(fd, bytes, at, done);
      ifNoted("sync", synced.get(fd), done, () => write(fd, bytes, at, done));
    }),
  ];
  syncBuiltinESMExports();
  t.after(() => {
    for (const mocked of mocks) mocked.mock.restore();
    syncBuiltinESMExports();
  });
  return mocks;
}
