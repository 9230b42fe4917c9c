import { promises as fs } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, syncFolder, writeFileDurably } from "../base/index.ts";
import type { Descriptor, Digest } from "../oci/index.ts";
import type { Layout } from "./layout.ts";

/** Trees link to blobs, and any user of a pod may read them. */
const BLOB_MODE = 0o644;

/** The blobs on disk, each once, by digest: manifests, configs and file layers. Used on the main and the pull thread. */
export class Blobs {
  readonly #layout: Layout;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** Whether a blob is there in full length. */
  async has(descriptor: Pick<Descriptor, "digest" | "size">): Promise<boolean> {
    try {
      return (await fs.stat(this.#layout.blob(descriptor.digest))).size === descriptor.size;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  /** The bytes of a small blob, a manifest say; undefined if it is not there. */
  async read(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      return await fs.readFile(this.#layout.blob(digest));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Keeps a small blob whose digest the caller has checked. */
  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const options = { mode: BLOB_MODE, temporaryFolder: this.#layout.tmp };
    await writeFileDurably(this.#layout.blob(digest), bytes, options);
  }

  /** Makes an ingest file, complete and verified by the caller, the blob of that digest: synced, then renamed. */
  async commit(ingestFile: string, digest: Digest): Promise<void> {
    const file = await fs.open(ingestFile, "r+");
    try {
      await file.chmod(BLOB_MODE);
      await file.sync();
    } finally {
      await file.close();
    }
    const path = this.#layout.blob(digest);
    await fs.rename(ingestFile, path);
    await syncFolder(dirname(path));
  }
}
