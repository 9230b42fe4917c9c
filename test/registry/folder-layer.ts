import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { type BuiltLayer, layer, TITLE } from "./artifact-builder.ts";
import { sha256Of } from "./registry-content.ts";

/** Files of a folder: path below the folder -> content, or content and mode. */
export type FolderFiles = Readonly<
  Record<string, string | Uint8Array | { readonly content: string | Uint8Array; readonly mode: number }>
>;

/**
 * A folder as `oras push` makes a layer of it: a gzipped tar whose entries carry the title as their prefix, marked to be
 * unpacked, with the digest of the uncompressed tar. A folder pushed as `.` has entries without a prefix.
 */
export async function folderLayer(title: string, files: FolderFiles): Promise<BuiltLayer> {
  return tarLayer(title, await tarOfFolder(title, files));
}

/** The same around a tar of the caller's own making. */
export function tarLayer(title: string, tar: Buffer): BuiltLayer {
  return layer(gzipSync(tar), "application/vnd.oci.image.layer.v1.tar+gzip", {
    [TITLE]: title,
    "io.deis.oras.content.unpack": "true",
    "io.deis.oras.content.digest": sha256Of(tar),
  });
}

/** A plain tar of `files` below `prefix`, made by GNU tar; owners and times are the same each time. */
export async function tarOfFolder(prefix: string, files: FolderFiles): Promise<Buffer> {
  const scratch = await mkdtemp(join(tmpdir(), "oras-csi-folder-"));
  try {
    await mkdir(join(scratch, prefix), { recursive: true });
    for (const [path, entry] of Object.entries(files)) {
      const plain = typeof entry === "string" || entry instanceof Uint8Array;
      const file = join(scratch, prefix, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, plain ? entry : entry.content, { mode: plain ? 0o644 : entry.mode });
    }
    const names = prefix === "." ? Object.keys(files).map((path) => path.split("/")[0] ?? path) : [prefix];
    const options = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name", "--mtime=@1700000000"];
    // Go's tar writer, which oras uses, pads to no more than two blocks, and oras pull hashes what its tar reader read.
    options.push("--blocking-factor=1");
    const run = promisify(execFile);
    const made = await run("tar", [...options, "-C", scratch, "-cf", "-", ...new Set(names)], {
      encoding: "buffer",
      maxBuffer: 1024 ** 3,
    });
    return made.stdout;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
