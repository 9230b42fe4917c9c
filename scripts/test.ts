// `npm test`: makes ready what the tests need, then runs all of them with Node's test runner, whose summary comes last.
// `npm test -- FILE...` runs only those files.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { whyNoMounts } from "../test/driver/index.ts";
import { ensureFreshBuild } from "./fresh-build.ts";

const ROOT = join(import.meta.dirname, "..");
const TEST_FILES = ["src/**/*.test.ts", "scripts/**/*.test.ts", "test/**/*.test.ts"];
/** Files that run at once: each of them may run drivers and registries of its own. */
const CONCURRENCY = 2;
const TEST_TIMEOUT_MS = 120_000;

/** Debian packages that tests use, by the command that shows that one is there. */
const PACKAGES = {
  "docker-registry": "docker-registry",
  openssl: "openssl",
  xfs_io: "xfsprogs",
  promtool: "prometheus",
};
/** Those that start themselves as a service; the tests start their own. */
const SERVICES = ["docker-registry", "prometheus"];

try {
  say("preparing the tests");
  installPackages();
  ensureFreshBuild(say);
  const noMounts = whyNoMounts();
  if (noMounts !== false) say(`tests with real mounts are skipped: ${noMounts}`);
  process.exitCode = runTests(process.argv.slice(2));
} catch (reason) {
  say(reason instanceof Error ? reason.message : String(reason));
  process.exitCode = 1;
}

function runTests(named: readonly string[]): number {
  const files = named.length > 0 ? named : TEST_FILES;
  say(`running ${files.join(" ")}`);
  const options = [`--test-concurrency=${CONCURRENCY}`, `--test-timeout=${TEST_TIMEOUT_MS}`];
  const run = spawnSync(process.execPath, ["--test", ...options, ...files], { cwd: ROOT, stdio: "inherit" });
  return run.status ?? 1;
}

/** Installs what is missing, where that is possible; the tests do without it elsewhere. */
function installPackages(): void {
  const missing = Object.entries(PACKAGES).filter(([command]) => spawnSync(command, ["version"]).error !== undefined);
  if (missing.length === 0) return;
  const names = missing.map(([, name]) => name);
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
    say(`${names.join(" and ")} cannot be installed (not root on Debian): ${consequence(names)}`);
    return;
  }
  say(`installing ${names.join(" and ")} (apt-get)`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const command of [["update"], ["install", "-y", "--no-install-recommends", ...names]]) {
    const done = spawnSync("apt-get", command, { env, encoding: "utf8" });
    if (done.status !== 0) {
      say(`apt-get ${command[0]} failed (${done.stderr.trim().split("\n").at(-1)}): ${consequence(names)}`);
      return;
    }
  }
  const started = existsSync("/run/systemd/system") ? SERVICES.filter((name) => names.includes(name)) : [];
  for (const name of started) spawnSync("systemctl", ["disable", "--now", name]);
}

function consequence(names: readonly string[]): string {
  const consequences = {
    "docker-registry": "the embedded registry stands in for Debian's",
    openssl: "tests of TLS are skipped",
    xfsprogs: "tests of power loss are skipped",
    prometheus: "alerts are not tried",
  };
  return Object.entries(consequences)
    .filter(([name]) => names.includes(name))
    .map(([, what]) => what)
    .join(", ");
}

function say(line: string): void {
  process.stdout.write(`# ${line}\n`);
}
