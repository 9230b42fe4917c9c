import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

/** What one run of a command took, its whole process: seconds, and bytes at the peak. */
export interface Usage {
  readonly wallSeconds: number;
  /** User and system time. */
  readonly cpuSeconds: number;
  /** Of the process's own memory, looked at every few milliseconds. */
  readonly peakAnonymousBytes: number;
  /** Pages of files included, as the kernel kept it. */
  readonly peakResidentBytes: number;
}

const LOOK_EVERY_MS = 10;
/** The unit of /proc/*\/stat, the same on all Linux machines of today. */
const TICKS_PER_SECOND = 100;

/** Runs a command to its end, one at a time. Throws what it printed if it fails. */
export async function measure(command: readonly string[]): Promise<Usage> {
  const [program = "", ...args] = command;
  const cpuBefore = childrenCpuSeconds();
  const startedMs = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (piece) => (output = (output + piece).slice(-4000)));
  const peaks = { anonymous: 0, resident: 0 };
  const look = setInterval(() => lookAt(child.pid, peaks), LOOK_EVERY_MS);
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  const wallSeconds = (performance.now() - startedMs) / 1000;
  clearInterval(look);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${output}`);
  const cpuSeconds = childrenCpuSeconds() - cpuBefore;
  return { wallSeconds, cpuSeconds, peakAnonymousBytes: peaks.anonymous, peakResidentBytes: peaks.resident };
}

/** What all ended children of this process took: the kernel adds it up when they are waited for. */
function childrenCpuSeconds(): number {
  const text = readFileSync("/proc/self/stat", "latin1");
  // The second field, a name in parentheses, may hold blanks; cutime and cstime are fields 16 and 17.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

function lookAt(pid: number | undefined, peaks: { anonymous: number; resident: number }): void {
  peaks.anonymous = Math.max(peaks.anonymous, memoryOf(pid, "RssAnon"));
  peaks.resident = Math.max(peaks.resident, memoryOf(pid, "VmHWM"));
}

/** A process's memory in bytes, by a name of /proc/PID/status (proc(5)); 0 when it has just ended. */
export function memoryOf(pid: number | undefined, name: "RssAnon" | "VmHWM" | "VmRSS"): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
