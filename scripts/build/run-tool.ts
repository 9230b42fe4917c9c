import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Runs a program in the folder of the project and resolves to what it printed; throws with all of its output. */
export async function runTool(command: string, args: readonly string[], env?: Record<string, string>): Promise<string> {
  const cwd = `${import.meta.dirname}/../..`;
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, env: { ...process.env, ...env } });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed\n${stdout}${stderr}`, { cause: error });
  }
}

/** Whether a program is in PATH; `args` make it do nothing. */
export async function hasTool(command: string, args: readonly string[] = ["--version"]): Promise<boolean> {
  return runTool(command, args).then(
    () => true,
    () => false,
  );
}

/** Whether a program is there after Debian's package of it was installed where that is possible: as root, with apt. */
export async function ensureTool(command: string, debianPackage: string): Promise<boolean> {
  if (await hasTool(command)) return true;
  await installPackage(debianPackage);
  return hasTool(command);
}

/** Installs a Debian package where that is possible: as root, with apt. Says when it fails. */
export async function installPackage(debianPackage: string): Promise<void> {
  if (process.getuid?.() !== 0 || !(await hasTool("apt-get"))) return;
  const noQuestions = { DEBIAN_FRONTEND: "noninteractive" };
  try {
    await runTool("apt-get", ["update"]);
    await runTool("apt-get", ["install", "-y", "--no-install-recommends", debianPackage], noQuestions);
  } catch (error) {
    console.log(`  ${debianPackage} could not be installed: ${String(error).split("\n")[0]}`);
  }
}
