import { lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type {
  BindOptions,
  MountAt,
  MountEntry,
  Mounter,
  OverlayOptions,
  PathLook,
  UnmountHow,
} from "../../src/mount/index.ts";

/** A call of a fake mounter that changes something. */
export type MounterCall =
  | { readonly kind: "bind"; readonly options: BindOptions }
  | { readonly kind: "overlay"; readonly options: OverlayOptions }
  | { readonly kind: "refresh"; readonly target: string }
  | { readonly kind: "unmount"; readonly target: string; readonly how: UnmountHow };

interface FakeMount {
  readonly at: MountAt;
  readonly dead: boolean;
  readonly entry: MountEntry;
}

/** A `Mounter` that keeps its mounts in memory: for failures that a kernel cannot be made to show. */
export class FakeMounter implements Mounter {
  readonly calls: MounterCall[] = [];
  /** Runs before each call that changes something; what it throws is the outcome. */
  onCall: (call: MounterCall) => void | Promise<void> = () => undefined;
  /** By target, the topmost last. */
  readonly #stacks = new Map<string, FakeMount[]>();
  #lastId = 100;

  /** How many mounts there are at a target. */
  depth(target: string): number {
    return this.#stacks.get(target)?.length ?? 0;
  }

  /** All targets with a mount. */
  get targets(): readonly string[] {
    return [...this.#stacks.keys()];
  }

  /** Mounts something foreign at a target; a dead one answers no question. */
  mountForeign(target: string, { dead = false } = {}): void {
    this.#push(target, { device: 999n, inode: 1n }, "tmpfs", "rw", dead);
  }

  async bind(options: BindOptions): Promise<void> {
    await options.ready;
    await this.#begin({ kind: "bind", options });
    const { dev, ino } = statSync(options.source, { bigint: true });
    this.#push(options.target, { device: dev, inode: ino }, "ext4", "rw");
  }

  async overlay(options: OverlayOptions): Promise<void> {
    await this.#begin({ kind: "overlay", options });
    const { dev, ino } = statSync(options.upper, { bigint: true });
    const said = `lowerdir=${options.lower},upperdir=${options.upper},workdir=${options.work}`;
    this.#push(options.target, { device: dev, inode: ino }, "overlay", said);
  }

  async refreshOverlay(target: string): Promise<void> {
    await this.#begin({ kind: "refresh", target });
  }

  async unmount(target: string | Uint8Array, how: UnmountHow): Promise<void> {
    const path = String(target);
    await this.#begin({ kind: "unmount", target: path, how });
    const stack = this.#stacks.get(path);
    stack?.pop();
    if (stack?.length === 0) this.#stacks.delete(path);
  }

  lookAt(path: string): Promise<PathLook> {
    const mount = this.#stacks.get(path)?.at(-1)?.at;
    const isThere = mount !== undefined || lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    const hasFolder = statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() === true;
    return Promise.resolve({ mount, isThere, folder: hasFolder ? { mountId: 1, about: undefined } : undefined });
  }

  mountAt(path: string): Promise<MountAt | undefined> {
    return Promise.resolve(this.#stacks.get(path)?.at(-1)?.at);
  }

  isDead(path: string): Promise<boolean> {
    return Promise.resolve(this.#stacks.get(path)?.at(-1)?.dead ?? false);
  }

  mountHolding(path: string): Promise<MountEntry | undefined> {
    return Promise.resolve(this.#stacks.get(path)?.at(-1)?.entry);
  }

  mountsBelow(path: string): Promise<readonly MountEntry[]> {
    return Promise.resolve(this.#entries().filter((entry) => entry.mountPoint.startsWith(`${path}/`)));
  }

  mounts(): Promise<readonly MountEntry[]> {
    return Promise.resolve(this.#entries());
  }

  async #begin(call: MounterCall): Promise<void> {
    this.calls.push(call);
    await this.onCall(call);
  }

  #entries(): MountEntry[] {
    return [...this.#stacks.values()].flat().map(({ entry }) => entry);
  }

  #push(target: string, at: Omit<MountAt, "mountId">, fsType: string, superOptions: string, dead = false): void {
    const mountId = ++this.#lastId;
    const entry: MountEntry = {
      mountId,
      parentId: 1,
      device: "0:1",
      root: "/",
      mountPoint: target,
      mountPointBytes: Buffer.from(target),
      options: [],
      readOnly: false,
      sharedGroup: undefined,
      masterGroup: undefined,
      fsType,
      source: fsType,
      superOptions,
    };
    const stack = this.#stacks.get(target) ?? [];
    stack.push({ at: { mountId, ...at }, dead, entry });
    this.#stacks.set(target, stack);
  }
}
