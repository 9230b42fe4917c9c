import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Sandbox } from "../driver/index.ts";
import {
  assertBlobsWhole,
  assertNothingLeft,
  attributes,
  filesBelow,
  pushThing,
  rejectsWith,
  textFiles,
  untilSwept,
} from "../integration/support.ts";
import { artifact, type BuiltManifest, EmbeddedRegistry, fileLayer } from "../registry/index.ts";

/** A layer that is beside the hostile ones, and all of the artifact that is served at the end. */
export const good = fileLayer("good", "good\n");

/** How a hostile artifact is to be turned down. */
export interface Refusal {
  readonly code: "FAILED_PRECONDITION" | "DATA_LOSS" | "UNAVAILABLE" | "NOT_FOUND" | "INVALID_ARGUMENT";
  /** Names the entry or the layer, and says why. */
  readonly says: RegExp;
}

/** One registry and one driver for many hostile artifacts, and a folder beside the driver's that none may touch. */
export class HostileBench implements AsyncDisposable {
  readonly registry: EmbeddedRegistry;
  readonly sandbox: Sandbox;
  #tags = 0;
  /** Of artifacts that were served: they stay in the cache. */
  #trees: readonly string[] = [];
  readonly #untouched: readonly string[];

  private constructor(registry: EmbeddedRegistry, sandbox: Sandbox, untouched: readonly string[]) {
    this.registry = registry;
    this.sandbox = sandbox;
    this.#untouched = untouched;
  }

  static async start(flags: readonly string[] = []): Promise<HostileBench> {
    const registry = await EmbeddedRegistry.start();
    const sandbox = await Sandbox.start({ flags });
    const canary = canaryOf(sandbox);
    await mkdir(join(canary, "inside"), { recursive: true, mode: 0o700 });
    await writeFile(join(canary, "file"), "canary\n", { mode: 0o600 });
    return new HostileBench(registry, sandbox, await surveyOf(canary));
  }

  /** A folder outside of the data dir, on the same file system. */
  get canary(): string {
    return canaryOf(this.sandbox);
  }

  /** Pushes a manifest under a tag of its own; its reference. */
  async push(manifest: BuiltManifest): Promise<string> {
    this.#tags += 1;
    return pushThing(this.registry, manifest, `t${this.#tags}`);
  }

  /** Publishes what is hostile: it is refused in this way, and nothing is left of it anywhere. */
  async refuses(manifest: BuiltManifest, { code, says }: Refusal): Promise<void> {
    await this.refusesReference(await this.push(manifest), { code, says });
  }

  /** The same for what is in the registry already. */
  async refusesReference(reference: string, { code, says }: Refusal): Promise<void> {
    const volume = this.sandbox.kubelet.volume({ attributes: attributes(reference) });
    await rejectsWith(volume.publish(), code, says);
    assert.equal(existsSync(volume.targetPath), false);
    await this.assertUnharmed();
    assert.deepEqual(await this.sandbox.dataNames("trees"), this.#trees);
  }

  /** Publishes what only looks hostile; answers the files that a pod sees. Nothing is left once it is unpublished. */
  async serves(manifest: BuiltManifest, look?: (targetPath: string) => Promise<void>): Promise<Record<string, string>> {
    const volume = this.sandbox.kubelet.volume({ attributes: attributes(await this.push(manifest)) });
    await volume.publish();
    const files = await textFiles(volume.targetPath);
    await look?.(volume.targetPath);
    await volume.unpublish();
    await this.assertUnharmed();
    this.#trees = await this.sandbox.dataNames("trees");
    return files;
  }

  /** The driver that met all of it is still the one that was started, and serves. */
  async assertServing(): Promise<void> {
    assert.deepEqual(await this.serves(artifact([good])), { good: "good\n" });
  }

  /** Nothing outside was touched, and nothing half-made is left inside. */
  async assertUnharmed(): Promise<void> {
    const { sandbox } = this;
    await assertNothingLeft(sandbox);
    await assertBlobsWhole(sandbox);
    assert.deepEqual(await filesBelow(join(sandbox.dataDir, "ingest")), []);
    await untilSwept(sandbox);
    assert.deepEqual(await surveyOf(this.canary), this.#untouched);
    for (const path of [
      "/escaped",
      "/tmp/escaped",
      join(sandbox.folder, "escaped"),
      join(sandbox.dataDir, "escaped"),
    ]) {
      assert.equal(existsSync(path), false, `${path} was made`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
    await this.registry.close();
  }
}

function canaryOf(sandbox: Sandbox): string {
  return join(sandbox.folder, "canary");
}

/** All that can be told of a folder: names, types, modes, owners, links, times and contents. */
async function surveyOf(folder: string): Promise<readonly string[]> {
  const names = ["", ...(await readdir(folder, { recursive: true })).sort()];
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const { ino, mode, uid, gid, nlink, mtimeMs, ctimeMs, size } = await lstat(path);
      const content = (mode & 0o170000) === 0o100000 ? await readFile(path, "utf8") : "";
      return JSON.stringify([name, ino, mode, uid, gid, nlink, mtimeMs, ctimeMs, size, content]);
    }),
  );
}
