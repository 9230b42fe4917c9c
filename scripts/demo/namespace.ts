import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Tells the inner run where its folder is; it is set there only. */
export const STAGE_VARIABLE = "ORAS_CSI_DEMO_STAGE";

/** The exit code of what SIGINT ended. */
export const INTERRUPTED = 130;

/**
 * Runs a script again in a mount namespace of its own, so that whatever happens no mount outlives it; without root in a
 * user namespace, too. The inner run finds an empty tmpfs at the folder that STAGE_VARIABLE names. Answers its exit code.
 * Throws a message for the user when the system does not allow such namespaces.
 */
export async function runInNamespace(script: string): Promise<number> {
  let inner: ChildProcess | undefined;
  // From here on a signal ends the inner run only: this one is still to take its folder away.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => inner?.kill(signal));
  const stage = mkdtempSync(join(tmpdir(), "oras-csi-demo-"));
  try {
    const unshare = ["--mount", "--propagation", "private"];
    if (process.getuid?.() !== 0) unshare.push("--user", "--map-root-user");
    const probe = spawnSync("unshare", [...unshare, "mount", "-t", "tmpfs", "demo", stage], { encoding: "utf8" });
    if (probe.signal !== null) return INTERRUPTED;
    if (probe.error !== undefined || probe.status !== 0) throw new Error(refusal(probe));
    // Kubelet's folder is on a shared mount on a real node; here it is made one.
    const prepare = 'mount -t tmpfs demo "$1" && mount --make-shared "$1" && shift && exec "$@"';
    const command = ["sh", "-c", prepare, "sh", stage, process.execPath, script];
    const child = spawn("unshare", [...unshare, ...command], {
      stdio: "inherit",
      env: { ...process.env, [STAGE_VARIABLE]: stage },
    });
    inner = child;
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? INTERRUPTED));
    });
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function refusal(probe: SpawnSyncReturns<string>): string {
  const said = probe.error?.message ?? probe.stderr.trim();
  if (process.getuid?.() === 0) {
    return `the demo mounts volumes, which this root may not: ${said}
if this is a container, please start it with --privileged`;
  }
  return `the demo mounts volumes, which needs root or user namespaces, and this system does not allow them: ${said}
please run it as root: sudo npm run demo`;
}
