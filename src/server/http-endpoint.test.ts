import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { type LogLine, listLogger } from "../../test/csi/csi-server.ts";
import { type Clock, systemClock } from "../base/index.ts";
import { HttpEndpoint, type HttpEndpointOptions, textPage } from "./http-endpoint.ts";

const hello = async () => textPage(200, "hello");

/** A clock whose timers a test fires by hand. */
function handClock() {
  const timers = new Map<() => void, number>();
  const clock: Clock = {
    ...systemClock,
    after(delayMs, run) {
      const fire = () => {
        timers.delete(fire);
        run();
      };
      timers.set(fire, delayMs);
      return () => timers.delete(fire);
    },
  };
  /** Fires the timers of that delay, waiting until there is one. */
  const fire = async (delayMs: number) => {
    const due = () => [...timers].filter(([, ms]) => ms === delayMs);
    while (due().length === 0) await new Promise(setImmediate);
    for (const [run] of due()) run();
  };
  return { clock, fire };
}

async function useEndpoint(more: Partial<HttpEndpointOptions> = {}) {
  const lines: LogLine[] = [];
  const pages = { "/hello": hello };
  const endpoint = HttpEndpoint.open({
    host: "127.0.0.1",
    port: 0,
    pages,
    clock: systemClock,
    logger: listLogger(lines),
    ...more,
  });
  return {
    lines,
    endpoint,
    /** Waits until it listens. */
    port: () => portOf(lines),
    [Symbol.asyncDispose]: () => endpoint.close(),
  };
}

async function portOf(lines: readonly LogLine[]): Promise<number> {
  for (;;) {
    const line = lines.find(({ msg }) => msg === "health and metrics are served");
    if (line !== undefined) return Number(String(line["address"]).split(":").at(-1));
    await new Promise(setImmediate);
  }
}

async function ask(port: number, path: string, method = "GET", body = "") {
  const asked = request({ host: "127.0.0.1", port, path, method, agent: false });
  asked.end(body);
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

/** A port that somebody else listens on. */
async function useTakenPort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, free: () => new Promise((resolve) => server.close(resolve)) };
}

test("a page is served to GET and HEAD, one request a connection, and nothing is kept", async () => {
  await using http = await useEndpoint();
  const port = await http.port();
  const got = await ask(port, "/hello?x=%zz");
  assert.deepEqual([got.status, got.text], [200, "hello"]);
  assert.equal(got.headers["content-type"], "text/plain; charset=utf-8");
  assert.equal(got.headers.connection, "close");
  assert.equal(got.headers["cache-control"], "no-store");
  const head = await ask(port, "/hello", "HEAD");
  assert.deepEqual([head.status, head.text, head.headers["content-length"]], [200, "", "5"]);
});

test("other methods and paths are refused", async () => {
  await using http = await useEndpoint();
  const port = await http.port();
  const post = await ask(port, "/hello", "POST", "x".repeat(100_000));
  assert.deepEqual([post.status, post.headers.allow], [405, "GET, HEAD"]);
  for (const path of ["/", "/hello/", "/constructor", "//hello", "/%68ello", "/../hello"]) {
    assert.equal((await ask(port, path)).status, 404, path);
  }
});

test("a page that fails is a 500 that tells the log only", async () => {
  const fail = () => Promise.reject(new Error("a secret place"));
  await using http = await useEndpoint({ pages: { "/fail": fail } });
  const { status, text } = await ask(await http.port(), "/fail");
  assert.equal(status, 500);
  assert.doesNotMatch(text, /secret/);
  assert.equal(http.lines.at(-1)?.["error"], "a secret place");
});

test("a taken port is told once and tried again until it is free", async () => {
  const taken = await useTakenPort();
  const { clock, fire } = handClock();
  await using http = await useEndpoint({ port: taken.port, clock });
  for (const delayMs of [1000, 2000, 4000, 8000, 16_000, 30_000]) await fire(delayMs);
  while (http.lines.length < 7) await new Promise(setImmediate);
  await taken.free();
  await fire(30_000);
  assert.equal((await ask(await http.port(), "/hello")).text, "hello");
  const warnings = http.lines.filter(({ level }) => level === "warn");
  assert.equal(warnings.length, 1);
  assert.equal(warnings[0]?.["reason"], "EADDRINUSE");
});

test("an endpoint that never got its port closes", async () => {
  const taken = await useTakenPort();
  const http = await useEndpoint({ port: taken.port });
  while (http.lines.length === 0) await new Promise(setImmediate);
  await http.endpoint.close();
  await taken.free();
  const early = await useEndpoint();
  await early.endpoint.close();
});

test("clients that say nothing or read nothing are cut off, and never keep another one out", async () => {
  const { clock, fire } = handClock();
  await using http = await useEndpoint({ clock });
  const port = await http.port();
  const silent: Socket[] = [];
  while (silent.length < 64) {
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    await once(socket, "connect");
    if (silent.length % 2 === 1) socket.write("GET /hello HTTP/1.1\r\nHost: x\r\n");
    silent.push(socket);
  }
  const first = once(silent[0]!.resume(), "close");
  assert.equal((await ask(port, "/hello")).text, "hello");
  await first;
  const gone = silent.slice(1).map((socket) => once(socket.resume(), "close"));
  await fire(10_000);
  await Promise.all(gone);
  assert.equal((await ask(port, "/hello")).text, "hello");
});

test("what is no HTTP is answered or cut, and harms nobody", async () => {
  await using http = await useEndpoint();
  const port = await http.port();
  for (const bytes of [
    "garbage\r\n\r\n",
    "\x16\x03\x01\x00",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\n\r\n",
  ]) {
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    socket.end(bytes);
    await once(socket.resume(), "close");
  }
  assert.equal((await ask(port, "/hello")).text, "hello");
});

test("close lets an answer that is soon ready through, and cuts everything else", async () => {
  const asked = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<void>();
  const slow = async () => {
    asked.resolve();
    await ready.promise;
    return textPage(200, "at last");
  };
  const http = await useEndpoint({ pages: { "/slow": slow, "/never": () => new Promise(() => undefined) } });
  const port = await http.port();
  const silent = connect(port, "127.0.0.1").on("error", () => undefined);
  await once(silent, "connect");
  const cut = once(silent.resume(), "close");
  const never = assert.rejects(ask(port, "/never"));
  const answer = ask(port, "/slow");
  await asked.promise;
  const closed = http.endpoint.close();
  ready.resolve();
  assert.equal((await answer).text, "at last");
  await closed;
  await never;
  await cut;
  await assert.rejects(ask(port, "/slow"), /ECONNREFUSED/);
});
