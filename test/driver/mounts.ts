import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** A line of the mount table, as far as tests ask. */
export interface MountRow {
  readonly target: string;
  readonly type: string;
  /** Options of the mount itself: ro, nosuid, nodev ... */
  readonly options: readonly string[];
}

/** What is mounted at or below a folder, in the order in which it was mounted. */
export function mountsBelow(folder: string): MountRow[] {
  const rows = readFileSync("/proc/self/mountinfo", "utf8").trimEnd().split("\n");
  return rows
    .map((row) => {
      const [before = "", after = ""] = row.split(" - ");
      const fields = before.split(" ");
      const target = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
      return { target, type: after.split(" ")[0] ?? "", options: (fields[5] ?? "").split(",") };
    })
    .filter(({ target }) => target === folder || target.startsWith(`${folder}/`));
}

/** Takes away whatever is still mounted at or below a folder, the last one first; throws when something stays. */
export function unmountBelow(folder: string): void {
  for (const { target } of mountsBelow(folder).reverse()) {
    const done = spawnSync("umount", ["--lazy", target], { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`cannot unmount ${target}: ${done.error?.message ?? done.stderr}`);
  }
}

/** Why this process cannot mount, for a test's `skip`; false when it can. */
export function whyNoMounts(): string | false {
  const [, effective = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const sysAdmin = 1n << 21n;
  if ((BigInt(`0x${effective}`) & sysAdmin) === 0n) return "real mounts need root (CAP_SYS_ADMIN)";
  // Its root may mount some file systems only, and neither overlays nor FUSE as the driver does.
  const isWholeMachine = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
  return isWholeMachine ? false : "real mounts need the machine's root, not that of a user namespace";
}
