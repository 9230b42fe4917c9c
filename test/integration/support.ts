import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { CsiError, type Sandbox, whyNoFlavour, whyNoMounts } from "../driver/index.ts";
import { soon } from "../helpers/soon.ts";
import { type BuiltManifest, DockerRegistry, EmbeddedRegistry, push } from "../registry/index.ts";

/** For tests that start the driver in its usual form and mount. */
export const REAL = { skip: whyNoMounts() || whyNoFlavour() };

/** Debian's registry, or the embedded one where that is not installed: for cases that need nothing special of it. */
export async function startRegistry(): Promise<DockerRegistry | EmbeddedRegistry> {
  return DockerRegistry.whyNot() === undefined ? DockerRegistry.start() : EmbeddedRegistry.start();
}

/** Attributes of a volume from a registry without TLS; the names of `more` are written without their `oras.`. */
export function attributes(reference: string, more: Record<string, string> = {}): Record<string, string> {
  const prefixed = Object.entries(more).map(([name, value]) => [`oras.${name}`, value]);
  return {
    "oras.artifact.reference": reference,
    "oras.options.plainhttp": "true",
    ...Object.fromEntries(prefixed),
  };
}

/** Pushes a manifest to `team/thing:<tag>` and answers the reference. */
export async function pushThing(
  registry: { host: string; url: string },
  manifest: BuiltManifest,
  tag = "v1",
): Promise<string> {
  await push(registry, "team/thing", manifest, tag);
  return `${registry.host}/team/thing:${tag}`;
}

/** Waits for a call to fail with this code and a message that says this. */
export async function rejectsWith(call: Promise<unknown>, code: string, says: RegExp = /./): Promise<CsiError> {
  try {
    await call;
  } catch (reason) {
    assert.ok(reason instanceof CsiError, String(reason));
    assert.equal(reason.code, code, `${reason.code}: ${reason.message}`);
    assert.match(reason.message, says);
    assert.ok(reason.message.length <= 1000, `a message of ${reason.message.length} characters`);
    return reason;
  }
  throw new assert.AssertionError({ message: `the call succeeded; ${code} was expected` });
}

/**
 * Publishes until the answer near the deadline tells the progress: on a busy machine the first answers may come before
 * the registry's first, and kubelet would call again, too.
 */
export async function abortedWithProgress(publish: () => Promise<unknown>): Promise<CsiError> {
  for (;;) {
    const aborted = await rejectsWith(publish(), "ABORTED");
    if (/\d+ ?%/.test(aborted.message)) return aborted;
  }
}

/** All files below a folder: path -> content as text. */
export async function textFiles(folder: string): Promise<Record<string, string>> {
  const files = await filesBelow(folder);
  const pairs = files.map(async (path) => [relative(folder, path), await readFile(path, "utf8")] as const);
  return Object.fromEntries(await Promise.all(pairs));
}

/** Paths of all regular files below a folder, sorted. Follows no links, as Node's own recursive readdir does. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((reason: NodeJS.ErrnoException) => {
    // The driver empties its tmp/ in the background.
    if (reason.code === "ENOENT") return [];
    throw reason;
  });
  const paths = entries.map(async (entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
  return (await Promise.all(paths)).flat().sort();
}

/** Every blob in the cache has the digest that it is named after. */
export async function assertBlobsWhole(sandbox: Sandbox): Promise<void> {
  const folder = join(sandbox.dataDir, "blobs/sha256");
  for (const name of await sandbox.dataNames("blobs/sha256")) {
    const hex = createHash("sha256")
      .update(await readFile(join(folder, name)))
      .digest("hex");
    assert.equal(hex, name, "a blob in the cache is not what it is named after");
  }
}

/** Waits until all that was taken away or staged in vain is deleted: the driver does so in the background. */
export function untilSwept(sandbox: Sandbox, deadlineMs?: number): Promise<void> {
  return soon(async () => assert.deepEqual(await sandbox.dataNames("tmp"), []), deadlineMs);
}

/** Nothing is left of any volume: no mount, no record, no folder of kubelet's. */
export async function assertNothingLeft(sandbox: Sandbox): Promise<void> {
  assert.deepEqual(sandbox.mounts(), []);
  assert.deepEqual(await sandbox.dataNames("volumes"), []);
}
