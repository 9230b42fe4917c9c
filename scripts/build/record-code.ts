import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Driver } from "../../test/driver/index.ts";
import { freePort } from "../../test/helpers/free-port.ts";

/**
 * Starts the driver of `executable`, which begins with recording-executable.ts, and has it write to `output` what V8 has
 * compiled until it answered a first call. Throws with what the driver printed if it does not start.
 */
export async function recordCode(executable: string, output: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-build-"));
  try {
    await using driver = await Driver.start({
      flavour: "executable",
      executable,
      socketPath: join(folder, "csi.sock"),
      dataDir: join(folder, "data"),
      // With all of its sockets, as the manifests run it.
      flags: [`--registration-dir=${join(folder, "registration")}`, `--http-endpoint=127.0.0.1:${await freePort()}`],
      env: { ORAS_CSI_CODE_FILE: output },
    });
    process.kill(driver.pid, "SIGUSR2");
    const { code } = await driver.exited;
    if (code !== 0) throw new Error(`no compiled code was written:\n${driver.output}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
