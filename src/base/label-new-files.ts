import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Has the kernel give an SELinux label to every file that this thread, and each thread started later on, makes from now
 * on (fscreate, proc_pid_attr(5)): threads share the credentials of the one that started them, and those hold the label.
 * So it has to come before the first asynchronous file access, which starts libuv's threads, and before any worker.
 *
 * Returns false where SELinux is off; throws what the kernel says when it does not know the label or forbids it.
 * `procFolder` is another folder than /proc in tests only: no test machine can be expected to have SELinux.
 */
export function labelNewFiles(label: string, procFolder = "/proc"): boolean {
  const fileSystems = readFileSync(join(procFolder, "filesystems"), "utf8");
  if (!/^nodev\s+selinuxfs$/m.test(fileSystems)) return false;
  writeFileSync(join(procFolder, "thread-self/attr/fscreate"), label, { flag: "r+" });
  return true;
}
