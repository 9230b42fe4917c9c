import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createConnectClient, CsiError, type KubeletVolume, type Sandbox } from "../driver/index.ts";
import type { Prng } from "../helpers/prng.ts";
import { attributes, pushThing } from "../integration/support.ts";
import { artifact, type EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";

const ARTIFACTS = 10;
const CALLERS = 4;
const COMMON = "in all of them\n";

/** One volume, and what kubelet knows of it: `unsure` after a call that was not answered. */
export interface WorkVolume {
  readonly volume: KubeletVolume;
  readonly readOnly: boolean;
  /** What its file `own` must hold. */
  readonly content: Buffer;
  state: "published" | "unpublished" | "unsure";
}

/** Pushes artifacts that have layers in common, files and folders, and makes volumes of them. */
export async function createWorkload(
  registry: EmbeddedRegistry,
  sandbox: Sandbox,
  count: number,
): Promise<WorkVolume[]> {
  const common = fileLayer("common", COMMON);
  const folder = await folderLayer("folder", { one: "1", two: Buffer.alloc(300_000, 2) });
  const contents = Array.from({ length: ARTIFACTS }, (_, i) => Buffer.alloc(400_000, `artifact ${i} `));
  const references = await Promise.all(
    contents.map((content, i) => pushThing(registry, artifact([common, folder, fileLayer("own", content)]), `v${i}`)),
  );
  return Array.from({ length: count }, (_, i) => {
    const [readOnly, number] = [i % 3 !== 0, i % ARTIFACTS];
    const spec = { attributes: attributes(references[number] ?? ""), readOnly };
    const volume = sandbox.kubelet.volume(spec);
    return { volume, readOnly, content: contents[number] ?? Buffer.alloc(0), state: "unpublished" };
  });
}

/**
 * Publishes and unpublishes at random, a few calls at once, until the driver is gone; how many calls it answered. What it
 * publishes is read at once: no wrong byte is ever shown.
 */
export async function workUntilGone(socketPath: string, volumes: readonly WorkVolume[], random: Prng): Promise<number> {
  const free = new Set(volumes);
  let answers = 0;
  const caller = async () => {
    for (;;) {
      const mine = [...free][random.below(free.size)];
      if (mine === undefined) return;
      free.delete(mine);
      const answered = await change(socketPath, mine);
      free.add(mine);
      if (!answered) return;
      answers++;
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return answers;
}

/** Publishes what is not published, else unpublishes it; false if there was no answer. */
async function change(socketPath: string, mine: WorkVolume): Promise<boolean> {
  const { volume } = mine;
  const publishes = mine.state === "unpublished";
  mine.state = "unsure";
  await volume.prepareFolder();
  using client = createConnectClient(socketPath);
  try {
    if (publishes) await client.publish(volume.request());
    else await client.unpublish(volume.volumeId, volume.targetPath);
    if (publishes) await assertShows(mine);
    mine.state = publishes ? "published" : "unpublished";
    return true;
  } catch (reason) {
    if (isGone(reason)) return false;
    assert.ok(reason instanceof CsiError, String(reason));
    // Published volumes may fill the cache.
    return reason.code === "RESOURCE_EXHAUSTED";
  }
}

/** The disk below a volume is gone, as when the power goes. */
function isGone(reason: unknown): boolean {
  return ["EIO", "ESHUTDOWN"].includes((reason as NodeJS.ErrnoException).code ?? "");
}

/** What a volume shows is what was pushed. */
export async function assertShows({ volume, content }: WorkVolume): Promise<void> {
  const read = (name: string) => readFile(join(volume.targetPath, name));
  assert.equal((await read("common")).toString(), COMMON);
  assert.ok((await read("own")).equals(content), "a file has other bytes than were pushed");
  assert.ok((await read("folder/two")).equals(Buffer.alloc(300_000, 2)), "a file of a folder has other bytes");
}
