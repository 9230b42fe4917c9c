import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** Folders of src/ and their tiers: a folder imports lower tiers only, and never another one of its own tier. */
const tiers: Readonly<Record<string, number>> = {
  base: 0,
  oci: 0,
  registry: 1,
  cache: 1,
  unpack: 1,
  mount: 1,
  artifact: 2,
  verify: 2,
  volume: 3,
  csi: 4,
  admin: 4,
  config: 5,
  server: 5,
  commands: 6,
};

/** What only some places may use. `home` are path prefixes below src/; tests are free of the fences marked `tests`. */
interface Fence {
  readonly what: string;
  readonly home: readonly string[];
  readonly tests: boolean;
  /** Module names, or prefixes of them that end in a slash. */
  readonly modules?: readonly string[];
  /** Looked for in the code, without its comments and texts. */
  readonly code?: RegExp;
}

const fences: readonly Fence[] = [
  {
    what: "process",
    home: ["main.ts", "run-bundle.ts", "base/runtime.ts"],
    tests: true,
    modules: ["node:process"],
    code: /\bprocess\./,
  },
  { what: "gRPC", home: ["csi/", "server/"], tests: true, modules: ["@connectrpc/", "@bufbuild/", "gen/"] },
  { what: "HTTP/2", home: ["server/"], tests: true, modules: ["node:http2"], code: /\.createSecureServer\(/ },
  { what: "listening sockets", home: ["server/"], tests: true, code: /\bcreateServer\(|\.listen\(/ },
  {
    what: "sockets",
    home: ["registry/", "server/", "commands/admin-client.ts"],
    tests: true,
    modules: ["node:net", "node:tls", "node:http", "node:https", "node:dgram"],
    code: /\bfetch\(|\bnew WebSocket\(/,
  },
  { what: "FFI", home: ["base/libc", "base/runtime.ts"], tests: false, modules: ["koffi"] },
  { what: "threads", home: ["base/", "artifact/", "verify/"], tests: true, modules: ["node:worker_threads"] },
  { what: "child processes", home: ["registry/credentials/"], tests: true, modules: ["node:child_process"] },
  {
    what: "timers, clock and randomness",
    home: ["base/"],
    tests: true,
    modules: ["node:timers", "node:timers/promises", "node:perf_hooks"],
    code: /\bset(Timeout|Interval|Immediate)\(|\bDate\.now\(|\bnew Date\(\)|\bperformance\.|\bMath\.random\(|\bAbortSignal\.timeout\(/,
  },
  {
    what: "mutable state of a module",
    home: [],
    tests: true,
    code: /^(export )?((let|var) |const \w+(: [^=]+)? = (new (Map|Set|WeakMap|WeakSet)(<.*>)?\(\)|\[\]|\{\});)/m,
  },
];

/**
 * What a source file does against the layering of src/: one line for each offence, in the order of the file's rules.
 * `path` is relative to src/, with slashes.
 */
export function importOffences(path: string, text: string): string[] {
  const { code, modules } = readSource(text);
  const imports = modules.map((name) => (name.startsWith(".") ? posix.join("src", posix.dirname(path), name) : name));
  const offences = imports.flatMap((name) => layerOffence(path, name) ?? []);
  for (const fence of fences) {
    if (fence.tests && isTest(path)) continue;
    if (fence.home.some((prefix) => path.startsWith(prefix))) continue;
    const used = imports.find((name) =>
      fence.modules?.some((m) => name === m || (m.endsWith("/") && name.startsWith(m))),
    );
    const found = used ?? fence.code?.exec(code)?.[0].trim();
    if (found !== undefined) {
      const home = fence.home.map((prefix) => `src/${prefix}`).join(", ");
      offences.push(`${fence.what}: ${found} is used; ${home === "" ? "nothing may have it" : `only for ${home}`}`);
    }
  }
  if (!path.endsWith("index.ts") && /^export (type )?(\*|\{[^}]*\}) from/m.test(code)) {
    offences.push("re-exports belong into the folder's index.ts");
  }
  return offences;
}

function layerOffence(path: string, imported: string): string | undefined {
  if (!imported.startsWith("src/")) return undefined;
  const target = imported.slice("src/".length);
  const from = path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
  const to = target.includes("/") ? target.slice(0, target.indexOf("/")) : "";
  if (from === to) return undefined;
  if (to === "") return `imports src/${target}: nothing may`;
  const tier = tiers[to];
  if (tier === undefined) return `imports src/${to}/, a folder without a tier`;
  if (target !== `${to}/index.ts`) return `imports src/${target}: only src/${to}/index.ts is that folder's public face`;
  if (from === "" || (from === "oci" && to === "base")) return undefined;
  const own = tiers[from];
  if (own === undefined) return `src/${from}/ has no tier`;
  if (to === "config" && from !== "commands") return "imports src/config/: only main.ts and src/commands/ may";
  return tier < own ? undefined : `tier ${own} imports src/${to}/ of tier ${tier}: only lower tiers may be imported`;
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts");
}

/** The code of a source without comments and texts, and the names of the modules that it imports or loads as workers. */
function readSource(text: string): { code: string; modules: string[] } {
  const uncommented = text.replace(/("(?:\\.|[^"\\\n])*")|\/\*[\s\S]*?\*\/|\/\/.*/g, "$1");
  const named = /(?:\bfrom|^import|\bimport\(|\bnew URL\()\s*"([^"\n]+)"/gm;
  const modules = Array.from(uncommented.matchAll(named), (match) => match[1] ?? "");
  // Of a template only what it computes is code.
  const code = uncommented
    .replace(/"(?:\\.|[^"\\\n])*"/g, '""')
    .replace(/`(?:\\.|[^`\\])*`/g, (template) => (template.match(/\$\{[^}]*\}/g) ?? []).join(" "));
  return { code, modules };
}

/** The offences of all files below a `src` folder, each as `src/path: offence`. */
export function checkImports(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  return files.sort().flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    return importOffences(file, text).map((offence) => `src/${file}: ${offence}`);
  });
}
