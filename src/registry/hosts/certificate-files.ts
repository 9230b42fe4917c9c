import { promises as fs } from "node:fs";
import { posix } from "node:path";
import type { HostEntry } from "./hosts-file.ts";

/**
 * The certificates in a registry's folder that has no hosts.toml, as Docker names them: `*.crt` are roots, `x.cert` and
 * `x.key` show who the node is.
 */
export async function certificateFilesIn(folder: string): Promise<Pick<HostEntry, "caFiles" | "clientFiles">> {
  const names = (await fs.readdir(folder).catch(() => [])).sort();
  const pathOf = (name: string) => posix.join(folder, name);
  const clients = names.filter((name) => name.endsWith(".cert") && names.includes(name.replace(/cert$/, "key")));
  return {
    caFiles: names.filter((name) => name.endsWith(".crt")).map(pathOf),
    clientFiles: clients.map((name) => ({ certificate: pathOf(name), key: pathOf(name.replace(/cert$/, "key")) })),
  };
}
