import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";

/**
 * An image's layers as the kernel's own overlay shows them: GNU tar unpacks each into a folder, and what its whiteouts hide
 * is taken away in a mount of the layers below, which leaves the kernel's own whiteouts in that folder.
 */
export class OverlayStack implements Disposable {
  readonly #folder: string;
  readonly #layers: string[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** A stack without layers, on a file system of its own: not each one can be an overlay's upper layer. */
  static create(): OverlayStack {
    const folder = mkdtempSync(join(tmpdir(), "oras-csi-overlay-"));
    execFileSync("mount", ["-t", "tmpfs", "none", folder]);
    mkdirSync(join(folder, "empty"));
    mkdirSync(join(folder, "merged"));
    return new OverlayStack(folder);
  }

  /** Why there is none here, or false. */
  static whyNot(): string | false {
    if (process.getuid?.() !== 0) return "mounting an overlay needs root";
    if (!spawnSync("tar", ["--version"], { encoding: "utf8" }).stdout?.startsWith("tar (GNU tar)")) return "no GNU tar";
    try {
      using stack = OverlayStack.create();
      stack.add([]);
      return false;
    } catch (error) {
      return `no overlay can be mounted: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** The path at which all layers so far are shown. */
  get merged(): string {
    return join(this.#folder, "merged");
  }

  /** Puts a layer of these entries on the others. Hard links to what none of them names lead into lower layers. */
  add(entries: readonly TarFields[]): void {
    const upper = join(this.#folder, `layer-${this.#layers.length}`);
    mkdirSync(upper);
    const own = new Set(entries.map(({ name }) => ownPath(name)));
    const links = entries.filter((entry, i) => isLowerLink(entry, entries.slice(0, i)));
    const aside = this.#copyAside(links);
    this.#mount([...this.#layers], upper);
    for (const { name } of entries) if (isWhiteout(name)) this.#hide(trimmed(name), own);
    // A folder that has only a whiteout in it is one of the layer's, too.
    for (const { name } of entries) if (isWhiteout(name)) this.#makeParents(`${ownPath(name)}/x`);
    for (const [i, { name }] of links.entries()) this.#putLink(trimmed(name), aside[i] ?? "");
    this.#unmount();
    const plain = entries.filter((entry) => !isWhiteout(entry.name) && !links.includes(entry));
    const archive = join(this.#folder, "layer.tar");
    writeFileSync(archive, tarOf(...plain));
    const args = [
      "--extract",
      "--delay-directory-restore",
      "--preserve-permissions",
      "--same-owner",
      "--numeric-owner",
      "-f",
      archive,
      "-C",
      upper,
    ];
    execFileSync("tar", args, { stdio: "pipe" });
    this.#layers.push(upper);
    this.#mount([...this.#layers], undefined);
  }

  [Symbol.dispose](): void {
    spawnSync("umount", [this.merged]);
    spawnSync("umount", [this.#folder]);
    rmSync(this.#folder, { recursive: true });
  }

  #mount(lower: readonly string[], upper: string | undefined): void {
    this.#unmount();
    const lowerdir = `lowerdir=${[...lower.toReversed(), join(this.#folder, "empty")].join(":")}`;
    const work = join(this.#folder, "work");
    mkdirSync(work, { recursive: true });
    const options = upper === undefined ? lowerdir : `${lowerdir},upperdir=${upper},workdir=${work}`;
    execFileSync("mount", ["-t", "overlay", "-o", `index=off,metacopy=off,${options}`, "overlay", this.merged], {
      stdio: "pipe",
    });
  }

  #unmount(): void {
    spawnSync("umount", [this.merged]);
  }

  /** Copies what links lead to, with owner, mode and time, before anything of their layer counts. */
  #copyAside(links: readonly TarFields[]): string[] {
    if (links.length > 0) this.#mount([...this.#layers], undefined);
    return links.map(({ linkName }, i) => {
      const copy = join(this.#folder, `link-${this.#layers.length}-${i}`);
      execFileSync("cp", ["-a", "--no-dereference", join(this.merged, trimmed(linkName ?? "")), copy]);
      return copy;
    });
  }

  #putLink(path: string, copy: string): void {
    this.#makeParents(path);
    const target = join(this.merged, path);
    rmSync(target, { recursive: true, force: true });
    execFileSync("mv", ["--no-target-directory", copy, target]);
  }

  #hide(name: string, own: ReadonlySet<string>): void {
    const parts = name.split("/");
    const at = parts.findIndex((part) => part.startsWith(".wh."));
    const hidden = parts[at] ?? "";
    const folder = parts.slice(0, at).join("/");
    this.#makeParents(`${folder}/x`);
    if (hidden === ".wh..wh..opq") {
      execFileSync("find", [join(this.merged, folder), "-mindepth", "1", "-delete"]);
      if (folder !== "") this.#anew(folder);
    } else if (!hidden.startsWith(".wh..wh.")) {
      const path = [...parts.slice(0, at), hidden.slice(4)].join("/");
      execFileSync("rm", ["-rf", join(this.merged, path)]);
      // A folder that the layer has itself is not one with the hidden one.
      if (own.has(path) || [...own].some((other) => other.startsWith(`${path}/`))) this.#anew(path);
    }
  }

  /** The kernel marks a folder that takes the place of a removed one. */
  #anew(path: string): void {
    const full = join(this.merged, path);
    execFileSync("rm", ["-rf", full]);
    mkdirSync(full);
  }

  #makeParents(path: string): void {
    const parts = path.split("/").slice(0, -1).filter(Boolean);
    for (let depth = 1; depth <= parts.length; depth++) {
      const folder = join(this.merged, ...parts.slice(0, depth));
      const found = lstatSync(folder, { throwIfNoEntry: false });
      if (found?.isDirectory()) continue;
      if (found !== undefined) rmSync(folder);
      mkdirSync(folder);
    }
  }
}

/** A hard link to what its layer does not have before it. */
function isLowerLink({ type, name, linkName }: TarFields, before: readonly TarFields[]): boolean {
  if (type !== "1" || isWhiteout(name)) return false;
  const target = trimmed(linkName ?? "");
  return !before.some((entry) => !isWhiteout(entry.name) && trimmed(entry.name) === target);
}

/** The path that an entry makes: of a whiteout the folder that it is in. */
function ownPath(name: string | Buffer): string {
  return trimmed(name).replace(/(^|\/)\.wh\..*$/, "");
}

function isWhiteout(name: string | Buffer): boolean {
  return trimmed(name)
    .split("/")
    .some((part) => part.startsWith(".wh."));
}

function trimmed(name: string | Buffer): string {
  return String(name)
    .replace(/^(\.\/)+/, "")
    .replace(/\/+$/, "");
}
