import { promises as fs } from "node:fs";
import { join } from "node:path";
import { type Clock, unlessMissing } from "../base/index.ts";
import { type Digest, parseDigest } from "../oci/index.ts";
import { type DiskUse, sumOfUses } from "./disk-space.ts";
import type { Layout } from "./layout.ts";
import { ageMs, type Moment, momentAt } from "./moment.ts";

/** What there is of a download, with the files beside it. */
export interface PartialDownload {
  readonly digest: Digest;
  readonly paths: readonly string[];
  readonly use: DiskUse;
  /** For how long nothing has been written to it. */
  readonly restedMs: number;
}

interface Found {
  readonly path: string;
  readonly use: DiskUse;
  readonly writtenMs: number;
}

const PARTIAL = /^(sha256|sha512)-([0-9a-f]+)/;

/** The downloads that lie in ingest/. */
export class Partials {
  readonly #layout: Layout;
  readonly #clock: Clock;
  /** When each was last written to, so that a clock that jumps makes none old. */
  #written = new Map<Digest, Moment>();

  constructor(layout: Layout, clock: Clock) {
    this.#layout = layout;
    this.#clock = clock;
  }

  /** All of them, the longest rested first. Files that are none are left alone. */
  async list(): Promise<readonly PartialDownload[]> {
    const written = new Map<Digest, Moment>();
    const partials = [...(await this.#find())].map(([digest, files]) => {
      const wallMs = Math.max(...files.map(({ writtenMs }) => writtenMs));
      const before = this.#written.get(digest);
      const moment = before?.wallMs === wallMs ? before : momentAt(this.#clock, wallMs);
      written.set(digest, moment);
      return {
        digest,
        paths: files.map(({ path }) => path),
        use: sumOfUses(files.map(({ use }) => use)),
        restedMs: ageMs(this.#clock, moment),
      };
    });
    this.#written = written;
    return partials.sort((a, b) => b.restedMs - a.restedMs);
  }

  async #find(): Promise<ReadonlyMap<Digest, readonly Found[]>> {
    const byDigest = new Map<Digest, Found[]>();
    for (const name of await fs.readdir(this.#layout.ingest)) {
      const digest = digestIn(name);
      if (digest === undefined) continue;
      const path = join(this.#layout.ingest, name);
      const found = await unlessMissing(fs.lstat(path));
      if (found === undefined) continue;
      const file = { path, use: { bytes: found.blocks * 512, inodes: 1 }, writtenMs: found.mtimeMs };
      byDigest.set(digest, [...(byDigest.get(digest) ?? []), file]);
    }
    return byDigest;
  }
}

function digestIn(name: string): Digest | undefined {
  const [, algorithm, hex] = PARTIAL.exec(name) ?? [];
  try {
    return parseDigest(`${algorithm}:${hex}`);
  } catch {
    // Not the name of a download.
    return undefined;
  }
}
