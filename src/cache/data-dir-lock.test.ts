import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { type TestDataDir, useDataDir } from "../../test/helpers/data-dir.ts";
import { type Libc, loadKoffi, openLibc } from "../base/index.ts";
import { type LockOptions, lockDataDir } from "./data-dir-lock.ts";

const libc = openLibc(await loadKoffi(tmpdir()));
const WAIT_MS = 15_000;

function optionsFor({ path, clock, log }: TestDataDir, more: Partial<LockOptions> = {}): LockOptions {
  return { dataDir: path, libc, clock, log, signal: new AbortController().signal, ...more };
}

/** Lets time pass in steps while somebody waits for it, until a promise is settled. */
async function passTime({ clock }: TestDataDir, settled: Promise<unknown>, upToMs: number): Promise<void> {
  let done = false;
  const finish = () => {
    done = true;
  };
  settled.then(finish, finish);
  for (let passedMs = 0; passedMs < upToMs && !done; ) {
    await new Promise((resolve) => setImmediate(resolve));
    if (clock.pending === 0) continue;
    clock.advance(100);
    passedMs += 100;
  }
}

const script = `
  import { createLogger, loadKoffi, openLibc, systemClock } from ${JSON.stringify(new URL("../base/index.ts", import.meta.url).href)};
  import { lockDataDir } from ${JSON.stringify(new URL("./data-dir-lock.ts", import.meta.url).href)};
  const log = createLogger({ level: "info", format: "json", write: (line) => process.stdout.write(line) });
  const { signal } = new AbortController();
  await lockDataDir({ dataDir: process.argv[1], libc: openLibc(await loadKoffi("/tmp")), clock: systemClock, log, signal });
  process.stdout.write("held\\n");
  process.stdin.resume();`;

/** Another process that takes the lock and keeps it; `lines` are what it says. */
function spawnHolder(t: TestContext, dataDir: string) {
  const argv = ["--input-type=module", "--eval", script, dataDir];
  const child = spawn(process.execPath, argv, { cwd: import.meta.dirname, stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  t.after(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { child, closed, next: async () => String((await lines.next()).value) };
}

test("the first one has the lock at once, on a data dir that is not there yet", async (t) => {
  const area = useDataDir(t);
  const release = await lockDataDir(optionsFor(area));
  assert.equal(statSync(area.path).mode & 0o777, 0o700);
  assert.equal(statSync(area.layout.lockFile).mode & 0o777, 0o600);
  assert.deepEqual(area.lines, []);
  release();
  (await lockDataDir(optionsFor(area)))();
});

test("a lock is given up once", async (t) => {
  const area = useDataDir(t);
  const release = await lockDataDir(optionsFor(area));
  release();
  const second = await lockDataDir(optionsFor(area));
  release();
  const third = lockDataDir(optionsFor(area));
  await passTime(area, third, WAIT_MS + 1000);
  await assert.rejects(third, { kind: "refused" });
  second();
});

test("a lock that is held is waited for, with one line of log, and had when it is free", async (t) => {
  const area = useDataDir(t);
  const release = await lockDataDir(optionsFor(area));
  const second = lockDataDir(optionsFor(area));
  await passTime(area, second, 5000);
  assert.deepEqual(
    area.lines.map(({ level, dataDir }) => [level, dataDir]),
    [["info", area.path]],
  );
  release();
  await passTime(area, second, 1000);
  (await second)();
});

test("after some seconds the other one is refused, and says what to look at", async (t) => {
  const area = useDataDir(t);
  const release = await lockDataDir(optionsFor(area));
  const begunMs = area.clock.monotonicMs();
  const second = lockDataDir(optionsFor(area));
  await passTime(area, second, 60_000);
  await assert.rejects(second, {
    kind: "refused",
    message: `another driver uses the data dir ${area.path}: only one may write it, see --data-dir`,
  });
  const waitedMs = area.clock.monotonicMs() - begunMs;
  assert.ok(waitedMs >= WAIT_MS && waitedMs <= WAIT_MS + 1000, `${waitedMs} ms`);
  assert.equal(area.clock.pending, 0);
  release();
});

test("a signal ends the wait", async (t) => {
  const area = useDataDir(t);
  const release = await lockDataDir(optionsFor(area));
  const controller = new AbortController();
  const second = lockDataDir(optionsFor(area, { signal: controller.signal }));
  await passTime(area, second, 1000);
  controller.abort(new Error("stop"));
  await assert.rejects(second, /stop/);
  release();
  (await lockDataDir(optionsFor(area)))();
});

test("another process's lock ends when that is killed", async (t) => {
  const area = useDataDir(t);
  const holder = spawnHolder(t, area.path);
  assert.equal(await holder.next(), "held");
  const waiting = lockDataDir(optionsFor(area));
  await passTime(area, waiting, 5000);
  assert.equal(area.lines.length, 1);
  holder.child.kill("SIGKILL");
  await holder.closed;
  await passTime(area, waiting, 1000);
  (await waiting)();
});

test("a process that waits for the lock stays alive, though it has nothing else to do", async (t) => {
  const area = useDataDir(t);
  const holder = spawnHolder(t, area.path);
  assert.equal(await holder.next(), "held");
  const waiter = spawnHolder(t, area.path);
  assert.match(await waiter.next(), /waiting for it to end/);
  holder.child.kill("SIGKILL");
  assert.equal(await waiter.next(), "held");
});

test("a lock file that is left over locks nobody out", async (t) => {
  const area = useDataDir(t);
  mkdirSync(area.path);
  writeFileSync(area.layout.lockFile, "1\n");
  (await lockDataDir(optionsFor(area)))();
});

test("a lock on a file that somebody removed meanwhile does not count", async (t) => {
  const area = useDataDir(t);
  let removals = 0;
  const slow: Libc = {
    ...libc,
    tryLock(fd) {
      if (removals++ === 0) rmSync(area.layout.lockFile);
      return libc.tryLock(fd);
    },
  };
  const first = lockDataDir(optionsFor(area, { libc: slow }));
  await passTime(area, first, 1000);
  const release = await first;
  const second = lockDataDir(optionsFor(area));
  await passTime(area, second, WAIT_MS + 1000);
  await assert.rejects(second, { kind: "refused" });
  release();
});

test("a data dir that cannot be made says so", async (t) => {
  const area = useDataDir(t);
  writeFileSync(area.path, "a file");
  for (const [dataDir, errno] of [
    [area.path, "EEXIST"],
    [join(area.path, "below"), "ENOTDIR"],
  ]) {
    await assert.rejects(lockDataDir(optionsFor(area, { dataDir: dataDir ?? "" })), {
      kind: "unavailable",
      message: `cannot write the data dir ${dataDir} (${errno}): see --data-dir`,
    });
  }
});

test("a failing kernel call is passed on and leaves no open file", async (t) => {
  const area = useDataDir(t);
  let opened = -1;
  const failing: Libc = {
    ...libc,
    tryLock(fd) {
      opened = fd;
      throw Object.assign(new Error("flock: not supported"), { code: "ENOSYS" });
    },
  };
  await assert.rejects(lockDataDir(optionsFor(area, { libc: failing })), { code: "ENOSYS" });
  assert.throws(() => libc.tryLock(opened), { code: "EBADF" });
});
