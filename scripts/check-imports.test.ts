import assert from "node:assert/strict";
import { test } from "node:test";
import { importOffences } from "./check-imports.ts";

const rows: { name: string; path: string; text: string; says: RegExp | undefined }[] = [
  { name: "a lower tier", path: "volume/a.ts", text: 'import { x } from "../cache/index.ts";', says: undefined },
  { name: "its own folder", path: "volume/a.ts", text: 'import { x } from "./records.ts";', says: undefined },
  { name: "a sub-folder", path: "registry/auth/a.ts", text: 'import { x } from "../client.ts";', says: undefined },
  {
    name: "a higher tier",
    path: "cache/a.ts",
    text: 'import { x } from "../volume/index.ts";',
    says: /only lower tiers/,
  },
  { name: "a type of one", path: "cache/a.ts", text: 'import type { X } from "../csi/index.ts";', says: /only lower/ },
  { name: "a sibling", path: "cache/a.ts", text: 'import { x } from "../unpack/index.ts";', says: /only lower tiers/ },
  { name: "base from oci", path: "oci/a.ts", text: 'import { x } from "../base/index.ts";', says: undefined },
  { name: "oci from base", path: "base/a.ts", text: 'import { x } from "../oci/index.ts";', says: /only lower tiers/ },
  { name: "past the index", path: "csi/a.ts", text: 'import { x } from "../oci/digest.ts";', says: /public face/ },
  { name: "the main file", path: "csi/a.ts", text: 'import { x } from "../main.ts";', says: /nothing may/ },
  { name: "all from main", path: "main.ts", text: 'import { x } from "./commands/index.ts";', says: undefined },
  { name: "config in server", path: "server/a.ts", text: 'import { x } from "../config/index.ts";', says: /only main/ },
  {
    name: "config in commands",
    path: "commands/a.ts",
    text: 'import { x } from "../config/index.ts";',
    says: undefined,
  },
  {
    name: "an unknown folder",
    path: "csi/a.ts",
    text: 'import { x } from "../utils/index.ts";',
    says: /without a tier/,
  },
  { name: "a lazy import", path: "oci/a.ts", text: 'await import("../csi/index.ts");', says: /only lower tiers/ },
  {
    name: "several lines",
    path: "oci/a.ts",
    text: 'import {\n  x,\n} from "../csi/index.ts";',
    says: /only lower tiers/,
  },
  { name: "a comment", path: "oci/a.ts", text: '// import { x } from "../csi/index.ts";', says: undefined },
  { name: "process", path: "csi/a.ts", text: "const pid = process.pid;", says: /process/ },
  { name: "process in a text", path: "csi/a.ts", text: 'const a = "process.pid";', says: undefined },
  { name: "process in a template", path: "csi/a.ts", text: `const a = \`pid \${process.pid}\`;`, says: /process/ },
  { name: "process in a comment", path: "csi/a.ts", text: "/** process.pid */\n// process.pid\n", says: undefined },
  { name: "process after a URL", path: "csi/a.ts", text: 'f("http://x", process.pid);', says: /process/ },
  { name: "process in main", path: "main.ts", text: "const pid = process.pid;", says: undefined },
  {
    name: "messages in csi",
    path: "csi/a.ts",
    text: 'import { N } from "../../gen/csi/v1/csi_pb.js";',
    says: undefined,
  },
  {
    name: "messages in volume",
    path: "volume/a.ts",
    text: 'import { N } from "../../gen/csi/v1/csi_pb.js";',
    says: /gRPC/,
  },
  { name: "Connect in volume", path: "volume/a.ts", text: 'import { C } from "@connectrpc/connect";', says: /gRPC/ },
  {
    name: "Connect in a test",
    path: "volume/a.test.ts",
    text: 'import { C } from "@connectrpc/connect";',
    says: undefined,
  },
  { name: "http2 in registry", path: "registry/a.ts", text: 'import http2 from "node:http2";', says: /HTTP\/2/ },
  { name: "a server", path: "registry/a.ts", text: "http.createServer(f).listen(0);", says: /listening/ },
  { name: "a client", path: "cache/a.ts", text: 'import net from "node:net";', says: /sockets/ },
  { name: "a client in registry", path: "registry/a.ts", text: 'import https from "node:https";', says: undefined },
  { name: "fetch", path: "artifact/a.ts", text: "await fetch(url);", says: /sockets/ },
  { name: "koffi", path: "mount/a.test.ts", text: 'import koffi from "koffi";', says: /FFI/ },
  { name: "koffi in libc", path: "base/libc.ts", text: 'import type { L } from "koffi";', says: undefined },
  { name: "a child", path: "mount/a.ts", text: 'import { spawn } from "node:child_process";', says: /child/ },
  { name: "a timer", path: "artifact/a.ts", text: "setTimeout(f, 1);", says: /timers/ },
  { name: "the clock", path: "cache/a.ts", text: "const at = new Date();", says: /clock/ },
  { name: "a given time", path: "cache/a.ts", text: "const at = new Date(nowMs);", says: undefined },
  { name: "a counter", path: "cache/a.ts", text: "let count = 0;", says: /mutable/ },
  { name: "a registry of things", path: "cache/a.ts", text: "const all = new Map<string, X>();", says: /mutable/ },
  { name: "a table", path: "cache/a.ts", text: 'const all = new Set(["a"]);', says: undefined },
  { name: "a local variable", path: "cache/a.ts", text: "function f() {\n  let a = 0;\n}", says: undefined },
  { name: "a barrel", path: "cache/all.ts", text: 'export { x } from "./x.ts";', says: /index\.ts/ },
];

for (const { name, path, text, says } of rows) {
  test(`imports: ${name}`, () => {
    const offences = importOffences(path, text);
    if (says === undefined) assert.deepEqual(offences, []);
    else assert.match(offences.join("\n"), says);
  });
}
