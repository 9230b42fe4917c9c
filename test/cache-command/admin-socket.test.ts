import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Admin, AdminCallOptions, PulledTree } from "../../src/admin/index.ts";
import { DriverError, errorFromData } from "../../src/base/index.ts";
import { AdminClient } from "../../src/commands/admin-client.ts";
import { AdminSocket } from "../../src/server/index.ts";
import { useLog } from "../helpers/log-lines.ts";
import { useTempFolder } from "../helpers/temp-folder.ts";

type Answer = (argument: never, options: AdminCallOptions<never>) => Promise<unknown>;

const signal = new AbortController().signal;

/** A socket whose calls are answered by a test. */
async function useSocket(t: TestContext, answer: Answer, folder = useTempFolder(t)) {
  const path = join(folder, "admin.sock");
  const { log, lines } = useLog();
  const admin = { call: (_: string, ...rest: Parameters<Answer>) => answer(...rest) } as unknown as Admin;
  const socket = await AdminSocket.open({ path, admin, logger: log });
  t.after(() => socket.close());
  const client = await AdminClient.find(path);
  assert.ok(client !== undefined);
  return { path, lines, socket, client };
}

test("what is told meanwhile comes before the result; many ask at once", async (t) => {
  const { client, path } = await useSocket(t, async (argument, { onProgress }) => {
    for (const step of [1, 2]) onProgress?.(step as never);
    return { asked: argument };
  });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const ask = async (trees: readonly string[]) => {
    const told: unknown[] = [];
    const onProgress = (progress: unknown) => told.push(progress);
    const result: unknown = await client.call("remove", { trees }, { signal, onProgress });
    assert.deepEqual([told, result], [[1, 2], { asked: { trees } }]);
  };
  await Promise.all(["a", "ü".repeat(10_000), "line\nbreak"].map((text) => ask([text])));
});

test("an error is the driver's own; what is no DriverError stays in its log", async (t) => {
  let reason: Error = new DriverError("no-space", "the disk is full");
  const { client, lines } = await useSocket(t, () => Promise.reject(reason));
  const isNoSpace = (error: unknown) => error instanceof DriverError && error.kind === "no-space";
  await assert.rejects(client.call("list", {}, { signal }), isNoSpace);
  reason = new Error("a secret of the driver's");
  await assert.rejects(client.call("list", {}, { signal }), /unexpected driver failure, see the driver log/);
  assert.match(JSON.stringify(lines), /a secret of the driver's/);
});

test("the log has what was changed at info, what was looked at for who wants to know, and no stack of a user's error", async (t) => {
  const outcomes: (() => unknown)[] = [];
  const { client, lines } = await useSocket(t, async () => outcomes.shift()?.() ?? "done");
  await client.call("list", {}, { signal });
  await client.call("measure", {}, { signal });
  await client.call("prune", { all: false, unusedMs: null }, { signal });
  outcomes.push(() => {
    throw errorFromData({ kind: "not-found", message: "no such tag", detail: "Error: no such tag\n    at a.ts:1" });
  });
  await assert.rejects(client.call("pull", {} as never, { signal }), /no such tag/);
  const seen = lines.map(({ level, call, error }) => [level, call, error]);
  assert.deepEqual(seen, [
    ["debug", "list", undefined],
    ["debug", "measure", undefined],
    ["info", "prune", undefined],
    ["warn", "/pull", "no such tag"],
  ]);
});

test("a caller that goes away, or gives up, ends its call", async (t) => {
  const began = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const { client } = await useSocket(t, async (_, options) => {
    options.signal.addEventListener("abort", () => ended.resolve());
    began.resolve();
    await ended.promise;
  });
  const stop = new AbortController();
  const asked = client.call("verify", { repair: false }, { signal: stop.signal });
  await began.promise;
  stop.abort(new Error("given up"));
  await assert.rejects(asked, /given up/);
  await ended.promise;
});

test("what a pull made is held until its caller has used it", async (t) => {
  const steps: string[] = [];
  const released = Promise.withResolvers<void>();
  const tree = { id: "1", manifest: "sha256:1", bytes: 1, inodes: 2 };
  const { client } = await useSocket(t, async (_, options) => {
    await options.whileHeld?.(tree as PulledTree);
    steps.push("released");
    released.resolve();
    return tree;
  });
  const whileHeld = async (held: PulledTree) => {
    // Enough turns for a driver that lets go too early.
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    steps.push(`used ${held.id}`);
  };
  const pulled: unknown = await client.call("pull", {} as never, { signal, whileHeld });
  await released.promise;
  assert.deepEqual([pulled, steps], [tree, ["used 1", "released"]]);
});

test("a driver that stops in the middle of a call is told of", async (t) => {
  const began = Promise.withResolvers<void>();
  const { client, socket, path } = await useSocket(t, () => {
    began.resolve();
    return new Promise(() => undefined);
  });
  const asked = client.call("list", {}, { signal });
  asked.catch(() => undefined);
  await began.promise;
  await socket.close();
  await assert.rejects(asked, /driver (broke|went away)/);
  assert.equal(existsSync(path), false);
  assert.equal(await AdminClient.find(path), undefined);
});

test("what is no question, or too long a one, is an error and harms nobody", async (t) => {
  const { client, path } = await useSocket(t, () => Promise.resolve("good"));
  for (const question of ["{ not JSON", "x".repeat(2 * 1024 * 1024)]) {
    const answered = new Promise<string>((resolve) => {
      const asking = request({ socketPath: path, path: "/list", method: "POST" }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.once("close", () => resolve(text));
      });
      asking.on("error", (error) => resolve(`{"error": ${JSON.stringify(error.message)}}`));
      asking.end(question);
    });
    assert.match(await answered, /"error"/);
  }
  assert.equal(await client.call("list", {}, { signal }), "good");
});

test("what lies at the socket's place is replaced; one that was replaced is left alone", async (t) => {
  const folder = useTempFolder(t);
  const path = join(folder, "admin.sock");
  writeFileSync(path, "no socket");
  assert.equal(await AdminClient.find(path), undefined);
  const first = await useSocket(t, () => Promise.resolve("first"), folder);
  const second = await useSocket(t, () => Promise.resolve("second"), folder);
  await first.socket.close();
  assert.equal(await second.client.call("list", {}, { signal }), "second");
});

test("somebody else who answers there is an error, and no hang", async (t) => {
  const path = join(useTempFolder(t), "admin.sock");
  const server = createServer((socket) => socket.on("error", () => undefined).end("hello\n"));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  const client = await AdminClient.find(path);
  await assert.rejects(client?.call("list", {}, { signal }) ?? Promise.resolve(), /the connection to the driver broke/);
});
