import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  promises as fs,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { watchDisk } from "../../test/helpers/disk-calls.ts";
import { useLog } from "../../test/helpers/log-lines.ts";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { Sweeper } from "./sweeper.ts";

function useSweeper(t: TestContext) {
  const folder = useTempFolder(t);
  const tmp = join(folder, "tmp");
  mkdirSync(tmp);
  const { log, lines } = useLog();
  const sweeper = new Sweeper(tmp, log);
  t.after(() => sweeper.close());
  return { folder, tmp, sweeper, log, lines, doomed: join(folder, "doomed") };
}

const shapes: [name: string, make: (path: string, folder: string) => void][] = [
  ["a file", (path) => writeFileSync(path, "x")],
  ["an empty folder", (path) => mkdirSync(path)],
  ["a link to a folder", (path, folder) => symlinkSync(join(folder, "kept"), path)],
  ["a link to nothing", (path) => symlinkSync("nowhere", path)],
  [
    "a folder of links",
    (path, folder) => {
      mkdirSync(path);
      const targets = [join(folder, "kept"), "../kept", "..", ".", "nowhere"];
      for (const [i, target] of targets.entries()) symlinkSync(target, join(path, `link${i}`));
    },
  ],
  [
    "names that are no UTF-8, folders, too",
    (path) => {
      mkdirSync(path);
      for (const bytes of [Buffer.of(0xff, 0xfe), Buffer.of(0xc3), Buffer.from("\n"), Buffer.from("a\u0301")]) {
        const name = (suffix: string) => Buffer.concat([Buffer.from(`${path}/`), bytes, Buffer.from(suffix)]);
        mkdirSync(name("folder"));
        writeFileSync(Buffer.concat([name("folder"), Buffer.from("/"), bytes]), "x");
        writeFileSync(name("file"), "x");
      }
    },
  ],
  [
    "names as long as they may be",
    (path) => {
      mkdirSync(join(path, "n".repeat(255), "m".repeat(255)), { recursive: true });
      writeFileSync(join(path, "n".repeat(255), "m".repeat(255), "o".repeat(255)), "x");
    },
  ],
  [
    "FIFOs",
    (path) => {
      mkdirSync(path);
      assert.equal(spawnSync("mkfifo", [join(path, "fifo")]).status, 0);
    },
  ],
  [
    "modes that keep everybody out",
    (path) => {
      mkdirSync(join(path, "a/b/c"), { recursive: true });
      writeFileSync(join(path, "a/b/file"), "x");
      for (const folder of ["a/b/file", "a/b/c", "a/b", "a", ""]) chmodSync(join(path, folder), 0);
    },
  ],
];
for (const [name, make] of shapes) {
  test(`it is gone at once, and its bytes after a while: ${name}`, async (t) => {
    const { folder, tmp, sweeper, lines, doomed } = useSweeper(t);
    mkdirSync(join(folder, "kept"));
    writeFileSync(join(folder, "kept", "file"), "kept");
    make(doomed, folder);
    await sweeper.discard(doomed);
    assert.equal(readdirSync(folder).includes("doomed"), false);
    await sweeper.idle();
    assert.deepEqual([readdirSync(tmp), lines], [[], []]);
    assert.equal(readFileSync(join(folder, "kept", "file"), "utf8"), "kept");
  });
}

test("what is not there is no error", async (t) => {
  const { sweeper, doomed, lines } = useSweeper(t);
  await sweeper.discard(doomed);
  await sweeper.discard(join(doomed, "x"));
  await sweeper.idle();
  assert.deepEqual(lines, []);
});

test("what cannot be moved is an error of the caller", async (t) => {
  const { sweeper, folder } = useSweeper(t);
  await assert.rejects(sweeper.discard(folder), { code: "EINVAL" });
});

test("a tree deeper than any path can be is deleted", async (t) => {
  const { tmp, sweeper, folder, lines } = useSweeper(t);
  const name = "deep".repeat(20);
  let top = join(folder, "0");
  mkdirSync(top);
  writeFileSync(join(top, "file"), "x");
  for (let depth = 1; depth <= 150; depth++) {
    const above = join(folder, String(depth));
    mkdirSync(above);
    renameSync(top, join(above, name));
    top = above;
  }
  await sweeper.discard(top);
  await sweeper.idle();
  assert.deepEqual([readdirSync(tmp), readdirSync(folder), lines], [[], ["tmp"], []]);
});

test("a folder of thousands of files and folders is deleted, and never floods tmp/", async (t) => {
  const { tmp, sweeper, doomed, lines } = useSweeper(t);
  mkdirSync(doomed);
  for (let i = 0; i < 2600; i++) {
    mkdirSync(join(doomed, `folder${i}`));
    writeFileSync(join(doomed, `file${i}`), "x");
  }
  let [there, most] = [0, 0];
  const { rename, rmdir } = fs;
  t.mock.method(fs, "rename", async (...paths: Parameters<typeof rename>) => {
    most = Math.max(most, ++there);
    await rename(...paths);
  });
  t.mock.method(fs, "rmdir", async (path: string) => {
    there--;
    await rmdir(path);
  });
  await sweeper.discard(doomed);
  await sweeper.idle();
  assert.deepEqual([readdirSync(tmp), lines, there], [[], [], 0]);
  assert.ok(most > 1000 && most < 1100, `${most} folders at once in tmp/`);
});

test("entries that a file system leaves out at first are found at last", async (t) => {
  const { tmp, sweeper, doomed, lines } = useSweeper(t);
  mkdirSync(doomed);
  for (let i = 0; i < 100; i++) writeFileSync(join(doomed, `file${i}`), "x");
  const opendir = fs.opendir.bind(fs);
  t.mock.method(fs, "opendir", async (...args: Parameters<typeof opendir>) => {
    const entries = await Array.fromAsync(await opendir(...args));
    return entries.slice(0, Math.ceil(entries.length / 2));
  });
  await sweeper.discard(doomed);
  await sweeper.idle();
  assert.deepEqual([readdirSync(tmp), lines], [[], []]);
});

test("many discards at once are all done", async (t) => {
  const { tmp, sweeper, folder, lines } = useSweeper(t);
  const paths = Array.from({ length: 50 }, (_, i) => join(folder, `d${i}`));
  for (const path of paths) mkdirSync(join(path, "a/b"), { recursive: true });
  await Promise.all(paths.map((path) => sweeper.discard(path)));
  await sweeper.idle();
  mkdirSync(join(folder, "later"));
  await sweeper.discard(join(folder, "later"));
  await sweeper.idle();
  assert.deepEqual([readdirSync(tmp), lines], [[], []]);
});

test("one entry that cannot go stops no other, and is told", async (t) => {
  const { tmp, sweeper, doomed, lines } = useSweeper(t);
  for (const name of ["a", "b", "c"]) mkdirSync(join(doomed, name), { recursive: true });
  for (let i = 0; i < 100; i++) writeFileSync(join(doomed, `file${i}`), "x");
  const unlink = fs.unlink.bind(fs);
  t.mock.method(fs, "unlink", async (path: Buffer) => {
    if (path.toString().endsWith("/file50")) throw Object.assign(new Error("not permitted"), { code: "EPERM" });
    await unlink(path);
  });
  await sweeper.discard(doomed);
  await sweeper.idle();
  const [left, ...more] = readdirSync(tmp);
  assert.deepEqual(more, []);
  assert.deepEqual(readdirSync(join(tmp, left ?? "")), ["file50"]);
  assert.deepEqual(
    lines.map(({ level, reason }) => [level, reason]),
    [["warn", "not permitted"]],
  );
});

test("nothing is deleted through a mount", { skip: skipMounts }, async (t) => {
  await using area = await useMountArea();
  const { log, lines } = useLog();
  const tmp = area.folder("tmp");
  const kept = area.folder("kept");
  writeFileSync(join(kept, "file"), "kept");
  const target = area.folder("doomed/below/target");
  writeFileSync(join(area.path, "doomed/below/file"), "x");
  await area.libc.mount({ source: kept, target, flags: 1 << 12 });
  const sweeper = new Sweeper(tmp, log);
  t.after(() => sweeper.close());
  await assert.rejects(sweeper.discard(target), { code: "EBUSY" });
  await sweeper.discard(join(area.path, "doomed"));
  await sweeper.idle();
  assert.equal(readFileSync(join(kept, "file"), "utf8"), "kept");
  assert.deepEqual([lines.length, lines[0]?.["level"]], [1, "warn"]);
  await new Sweeper(tmp, log).sweepLeftovers();
  const again = new Sweeper(tmp, log);
  await again.sweepLeftovers();
  await again.idle();
  assert.equal(readFileSync(join(kept, "file"), "utf8"), "kept");
});

test("a sweeper that closes stops in the middle; the next run goes on", async (t) => {
  const { folder, tmp, sweeper, log, lines, doomed } = useSweeper(t);
  for (let i = 0; i < 20; i++) {
    mkdirSync(join(doomed, `folder${i}`), { recursive: true });
    for (let j = 0; j < 40; j++) writeFileSync(join(doomed, `folder${i}`, `file${j}`), "x");
  }
  const unlink = fs.unlink.bind(fs);
  const begun = Promise.withResolvers<void>();
  const unlinked: unknown[] = [];
  const mocked = t.mock.method(fs, "unlink", async (path: string) => {
    begun.resolve();
    unlinked.push(path);
    await unlink(path);
  });
  await sweeper.discard(doomed);
  await begun.promise;
  await sweeper.close();
  await sweeper.idle();
  assert.ok(unlinked.length >= 1 && unlinked.length < 800, `${unlinked.length} files were deleted`);
  const left = readdirSync(tmp).length;
  assert.ok(left > 0);
  mkdirSync(doomed);
  await sweeper.discard(doomed);
  await sweeper.idle();
  assert.deepEqual([existsSync(doomed), readdirSync(tmp).length], [false, left + 1]);
  mocked.mock.restore();
  const next = new Sweeper(tmp, log);
  await next.sweepLeftovers();
  assert.ok(readdirSync(tmp).length <= left + 1);
  await next.idle();
  assert.deepEqual([readdirSync(tmp), readdirSync(folder), lines], [[], ["tmp"], []]);
});

test("leftovers of any number are moved away in four calls", async (t) => {
  const { folder, tmp, sweeper } = useSweeper(t);
  for (let i = 0; i < 300; i++) writeFileSync(join(tmp, `left${i}`), "x");
  const disk = watchDisk(t, folder);
  await sweeper.sweepLeftovers();
  const begin = ["rename tmp.old -> tmp/gone-*", "rename tmp -> tmp.old", "mkdir tmp", "rename tmp.old -> tmp/gone-*"];
  assert.deepEqual(disk.calls.slice(0, 4), begin);
  writeFileSync(join(tmp, "new"), "staged by this run");
  await sweeper.idle();
  assert.deepEqual(readdirSync(tmp), ["new"]);
});

for (let step = 0; step < 4; step++) {
  test(`a start that is killed at step ${step} of that leaves nothing to the one after the next`, async (t) => {
    const area = useDataDir(t);
    const first = await area.open();
    await first.close();
    writeFileSync(join(first.layout.tmp, "left"), "x");
    const disk = watchDisk(t, area.path, step);
    await assert.rejects(new Sweeper(first.layout.tmp, area.log).sweepLeftovers(), /killed/);
    disk.stop();
    await (await area.open()).close();
    assert.deepEqual(readdirSync(first.layout.tmp), []);
    assert.equal(existsSync(`${first.layout.tmp}.old`), false);
  });
}

test("leftovers go where the disk is too full for a new folder, too", { skip: skipMounts }, async () => {
  await using area = await useMountArea({ tmpfs: "mode=755,nr_inodes=100" });
  const tmp = area.folder("tmp");
  for (let i = 0; i < 40; i++) writeFileSync(join(tmp, `left${i}`), "x");
  const fill = () => {
    for (let i = 0; ; i++) mkdirSync(join(area.path, `fill${i}`));
  };
  assert.throws(fill, { code: "ENOSPC" });
  const { log, lines } = useLog();
  const sweeper = new Sweeper(tmp, log);
  await sweeper.sweepLeftovers();
  await sweeper.idle();
  assert.deepEqual([readdirSync(tmp), existsSync(`${tmp}.old`)], [[], false]);
  assert.deepEqual([lines.length, lines[0]?.["level"]], [1, "warn"]);
});

test("what a full disk has no name for in tmp is gone before others may put something in its place", async (t) => {
  const { doomed, sweeper } = useSweeper(t);
  mkdirSync(doomed);
  for (let i = 0; i < 100; i++) writeFileSync(join(doomed, `file${i}`), "x");
  t.mock.method(fs, "rename", () => Promise.reject(Object.assign(new Error("no room"), { code: "ENOSPC" })));
  await sweeper.discardOrEmpty(doomed);
  assert.equal(existsSync(doomed), false);
  mkdirSync(doomed);
  writeFileSync(join(doomed, "new"), "x");
  await sweeper.idle();
  assert.deepEqual(readdirSync(doomed), ["new"]);
});

/** Runs a sweep as a user who is not root: modes count then. */
const asNobody = `
  import { Sweeper } from ${JSON.stringify(new URL("./sweeper.ts", import.meta.url).href)};
  import { createLogger } from ${JSON.stringify(new URL("../base/index.ts", import.meta.url).href)};
  const [tmp, doomed] = process.argv.slice(1);
  const log = createLogger({ level: "trace", format: "json", write: (line) => process.stdout.write(line) });
  const sweeper = new Sweeper(tmp, log);
  await sweeper.discard(doomed);
  await sweeper.idle();`;

test("folders without any permission are deleted by who is not root, too", (t) => {
  const { folder, tmp, doomed } = useSweeper(t);
  const tree = ["a/b/c", "a/b/file", "a/b", "a", ""].map((path) => join(doomed, path));
  mkdirSync(join(doomed, "a/b/c"), { recursive: true });
  writeFileSync(join(doomed, "a/b/file"), "x");
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? { uid: 65534, gid: 65534 } : {};
  for (const path of [...tree, tmp, folder]) if (isRoot) chownSync(path, 65534, 65534);
  // One of them may be moved as it is, but not be listed.
  for (const path of tree) chmodSync(path, path.endsWith("/a") ? 0o200 : 0);
  const argv = ["--input-type=module", "--eval", asNobody, tmp, doomed];
  const options = { encoding: "utf8", cwd: "/", timeout: 60_000, ...owner } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, options);
  if (status !== 0 && /EACCES/.test(stderr) && stderr.includes("ERR_MODULE"))
    return t.skip("the sources are closed to others");
  assert.deepEqual([status, stdout, stderr], [0, "", ""]);
  assert.deepEqual([readdirSync(tmp), existsSync(doomed)], [[], false]);
  rmSync(folder, { recursive: true });
});
