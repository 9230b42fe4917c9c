import { promises as fs } from "node:fs";
import { join } from "node:path";
import { unlessMissing } from "../base/index.ts";
import { type Digest, parseDigest } from "../oci/index.ts";
import { type DiskUse, sumOfUses } from "./disk-space.ts";
import { hasLayer } from "./layers.ts";
import type { Layout, UnpackWay } from "./layout.ts";
import { ageMs, type CacheClock, type Moment, momentAt, sureAgeMs } from "./moment.ts";

/** What there is of a download from one origin, with the files beside it. */
export interface PartialDownload {
  readonly digest: Digest;
  readonly paths: readonly string[];
  readonly use: DiskUse;
  /** When something was written to it last, by the wall clock. */
  readonly writtenMs: number;
  /** For how long nothing has been written to it. */
  readonly restedMs: number;
}

interface FoundDownload {
  readonly digest: Digest;
  readonly files: readonly FoundFile[];
}

interface FoundFile {
  readonly path: string;
  readonly use: DiskUse;
  readonly writtenMs: number;
}

/** How the name of a download's map ends: what is known of it, in JSON. */
export const INGEST_MAP = ".parts";

/** Digest and origin. Earlier versions' have no origin: nobody goes on with them. */
const PARTIAL = /^(?<algorithm>sha256|sha512)-(?<hex>[0-9a-f]+)(-[0-9a-f]+)?/;

const WAYS: readonly UnpackWay[] = ["artifact", "image"];

/** The downloads that lie in ingest/. */
export class Partials {
  readonly #layout: Layout;
  readonly #clock: CacheClock;
  /** When each was last written to, so that a clock that jumps makes none old. */
  #written = new Map<string, Moment>();

  constructor(layout: Layout, clock: CacheClock) {
    this.#layout = layout;
    this.#clock = clock;
  }

  /** All of them, the longest rested first. Files that are none are left alone. */
  async list(): Promise<readonly PartialDownload[]> {
    const written = new Map<string, Moment>();
    const partials = [...(await this.#find())].map(([download, { digest, files }]) => {
      const wallMs = Math.max(...files.map(({ writtenMs }) => writtenMs));
      const before = this.#written.get(download);
      const moment = before?.wallMs === wallMs ? before : momentAt(this.#clock, wallMs);
      written.set(download, moment);
      const partial = {
        digest,
        paths: files.map(({ path }) => path),
        use: sumOfUses(files.map(({ use }) => use)),
        writtenMs: wallMs,
        restedMs: sureAgeMs(this.#clock, moment),
      };
      return { partial, ageMs: ageMs(this.#clock, moment) };
    });
    this.#written = written;
    return partials.sort((a, b) => b.ageMs - a.ageMs).map(({ partial }) => partial);
  }

  /**
   * Whether nobody goes on with a download: the cache has what was to become of it, from another origin, or since a driver
   * was killed between the two. A blob that came before may be one with wrong bytes that is being fetched anew.
   */
  async isSpent({ digest, paths, writtenMs }: PartialDownload): Promise<boolean> {
    const blob = await unlessMissing(fs.lstat(this.#layout.blob(digest)));
    const map = paths.find((path) => path.endsWith(INGEST_MAP));
    // Without a map it is of no use in any case, but may be somebody else's.
    const form = map === undefined ? "any" : await formIn(map);
    if ((form === "blob" || form === "any") && blob?.isFile() === true && blob.ctimeMs >= writtenMs) return true;
    for (const way of WAYS)
      if ((form === way || form === "any") && (await hasLayer(this.#layout, digest, way))) return true;
    return false;
  }

  async #find(): Promise<ReadonlyMap<string, FoundDownload>> {
    const found = new Map<string, FoundDownload>();
    for (const name of await fs.readdir(this.#layout.ingest)) {
      const { download, digest } = downloadIn(name) ?? {};
      if (download === undefined || digest === undefined) continue;
      const path = join(this.#layout.ingest, name);
      const stat = await unlessMissing(fs.lstat(path));
      if (stat === undefined) continue;
      const file = { path, use: { bytes: stat.blocks * 512, inodes: 1 }, writtenMs: stat.mtimeMs };
      found.set(download, { digest, files: [...(found.get(download)?.files ?? []), file] });
    }
    return found;
  }
}

/** What is to become of a download; undefined where an older driver wrote the map, or nobody can read it. */
async function formIn(map: string): Promise<unknown> {
  try {
    return JSON.parse(await fs.readFile(map, "utf8")).form;
  } catch {
    return undefined;
  }
}

/** The download that a file belongs to, if it does to one. */
function downloadIn(name: string): { readonly download: string; readonly digest: Digest } | undefined {
  const match = PARTIAL.exec(name);
  try {
    const { algorithm, hex } = match?.groups ?? {};
    return { download: match?.[0] ?? "", digest: parseDigest(`${algorithm}:${hex}`) };
  } catch {
    // Not the name of a download.
    return undefined;
  }
}
