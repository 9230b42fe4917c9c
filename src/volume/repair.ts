import { promises as fs } from "node:fs";
import { dirname } from "node:path";
import { type Clock, describeError, errnoOf, type Logger } from "../base/index.ts";
import { podsFolderOf } from "./kubelet-target.ts";
import type { Records, VolumeRecord } from "./records.ts";

const EVERY_MS = 60_000;

/** What repairing needs. */
export interface RepairOptions {
  readonly records: Pick<Records, "all">;
  /** Forgets a volume, and what was written into it, if it is still gone by the time that its target is free. */
  readonly forget: (record: VolumeRecord) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Forgets volumes whose pods went while nobody could say so: after a node's restart kubelet unpublishes nothing. A
 * missing mount means nothing, as a node that was restarted has none; only a folder that kubelet took away does.
 */
export class Repair {
  readonly #options: RepairOptions;
  #cancelNext: () => void = () => undefined;
  #pass: Promise<void> = Promise.resolve();
  #closed = false;
  #sawNothing = false;

  constructor(options: RepairOptions) {
    this.#options = options;
  }

  /** Looks now, and once a minute from then on. */
  start(): void {
    this.#pass = this.look().finally(() => {
      if (!this.#closed) this.#cancelNext = this.#options.clock.after(EVERY_MS, () => this.start());
    });
  }

  /** Looks no more; resolves when a look under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelNext();
    await this.#pass;
  }

  /** Looks at all volumes once. Never rejects. */
  async look(): Promise<void> {
    const { records, forget, log } = this.#options;
    let unseen = 0;
    for (const record of records.all()) {
      if (this.#closed) return;
      const { volumeId, targetPath } = record;
      try {
        const state = await stateOf(targetPath);
        if (state === "unseen") unseen++;
        if (state !== "gone") continue;
        log.info("a volume is forgotten: kubelet has removed the folder above its target", { volumeId, targetPath });
        await forget(record);
      } catch (error) {
        log.warn("cannot look after a volume", { volumeId, targetPath, reason: describeError(error) });
      }
    }
    if (unseen > 0 && !this.#sawNothing) {
      log.warn("no pod's folder can be seen where volumes are published: none of them is forgotten", {
        volumes: unseen,
        hint: "is kubelet's pods folder mounted into the driver?",
      });
    }
    this.#sawNothing = unseen > 0;
  }
}

/**
 * Whether the folder above a target is there. It is `gone` only where others like it can be seen (some pod's folder, or
 * for a target of another form the folder that it was in); else the driver's own view is wrong: `unseen`.
 */
export async function stateOf(targetPath: string): Promise<"there" | "gone" | "unseen"> {
  const folder = dirname(targetPath);
  if (await isFolder(folder)) return "there";
  const pods = podsFolderOf(targetPath);
  const others = pods === undefined ? await isFolder(dirname(folder)) : await hasFolderIn(pods);
  return others ? "gone" : "unseen";
}

async function isFolder(path: string): Promise<boolean> {
  return (await unlessNowhere(fs.stat(path)))?.isDirectory() === true;
}

async function hasFolderIn(path: string): Promise<boolean> {
  const entries = await unlessNowhere(fs.readdir(path, { withFileTypes: true }));
  return entries?.some((entry) => entry.isDirectory()) === true;
}

async function unlessNowhere<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
