import { promises as fs } from "node:fs";
import type { Clock } from "../base/index.ts";
import type { DataDir } from "./data-dir.ts";
import type { TreeId } from "./layout.ts";

const PIN_FILE = /^([0-9a-f]{64})\.pin$/;

/** The trees that people asked to keep: one small file each, `trees/<id>.pin`. */
export class Pins {
  readonly #dataDir: DataDir;
  readonly #clock: Clock;
  readonly #pinned = new Set<TreeId>();

  constructor(dataDir: DataDir, clock: Clock) {
    this.#dataDir = dataDir;
    this.#clock = clock;
  }

  /** Learns what is pinned from the names in trees/. */
  load(names: Iterable<string>): void {
    for (const name of names) {
      const id = PIN_FILE.exec(name)?.[1];
      if (id !== undefined) this.#pinned.add(id as TreeId);
    }
  }

  isPinned(id: TreeId): boolean {
    return this.#pinned.has(id);
  }

  /** All that are pinned, whether or not they are there. */
  all(): readonly TreeId[] {
    return [...this.#pinned];
  }

  /** Pins a tree, durably; the caller holds a lease of it. */
  async pin(id: TreeId): Promise<void> {
    await this.#dataDir.state.write(this.#dataDir.layout.treePin(id), { pinnedAt: this.#clock.now() });
    this.#pinned.add(id);
  }

  /** Takes a pin away, durably; one that is not there is no error. */
  async unpin(id: TreeId): Promise<void> {
    await fs.rm(this.#dataDir.layout.treePin(id), { force: true });
    await this.#dataDir.syncFolder(this.#dataDir.layout.trees);
    this.#pinned.delete(id);
  }
}
