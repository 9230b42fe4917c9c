import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { Prng } from "../helpers/prng.ts";
import { soon } from "../helpers/soon.ts";
import { createConnectClient, CsiError, type KubeletVolume, Sandbox } from "../driver/index.ts";
import { assertBlobsWhole, assertNothingLeft, attributes, pushThing, REAL } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";

const CALLS = 200;
const VOLUMES = 50;
const CLIENTS = 20;
const ARTIFACTS = 8;
/** One client in so many is killed in the middle of its call. */
const KILLED_ONE_IN = 4;
/** What a call may be told that another one for its volume crossed, or whose client is gone. */
const CROSSED = ["ABORTED", "CANCELED", "UNAVAILABLE"];

interface Published {
  readonly volume: KubeletVolume;
  readonly readOnly: boolean;
}

test(
  "volumes that come and go at once, with clients that are killed in mid-call: all agrees in the end",
  REAL,
  async (t) => {
    const seed = Number(process.env["ORAS_CSI_TEST_SEED"] ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed} (ORAS_CSI_TEST_SEED)`);
    const random = new Prng(seed);
    await using registry = await EmbeddedRegistry.start({ bytesPerSecond: 2_000_000 });
    const references = await pushArtifacts(registry);
    await using sandbox = await Sandbox.start();
    const volumes: Published[] = Array.from({ length: VOLUMES }, (_, i) => {
      const readOnly = random.below(2) === 0;
      const spec = { attributes: attributes(references[i % ARTIFACTS] ?? ""), readOnly, namespace: `team-${i % 3}` };
      return { volume: sandbox.kubelet.volume(spec), readOnly };
    });
    for (const { volume } of volumes) await volume.prepareFolder();

    const calls = Array.from({ length: CALLS }, () => ({
      target: volumes[random.below(VOLUMES)] as Published,
      publishes: random.below(5) < 3,
      killedAfterMs: random.below(KILLED_ONE_IN) === 0 ? random.below(60) : undefined,
    }));
    const outcomes = new Map<string, number>();
    const client = async () => {
      for (let call = calls.pop(); call !== undefined; call = calls.pop()) {
        const { publishes, killedAfterMs } = call;
        const code = await ask(sandbox.socketPath, call.target, publishes, killedAfterMs);
        assert.ok(code === "OK" || CROSSED.includes(code), `${publishes ? "publish" : "unpublish"}: ${code}`);
        if (!publishes && killedAfterMs === undefined) assert.equal(code, "OK", "an unpublish always works");
        outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    t.diagnostic(`outcomes: ${[...outcomes].map(([code, count]) => `${count} ${code}`).join(", ")}`);

    await agreesSoon(sandbox, volumes);
    // Kubelet asks for what it wants until it has it.
    const kept = volumes.filter(() => random.below(2) === 0);
    await Promise.all(kept.map(({ volume }) => publishUntilDone(sandbox.socketPath, volume)));
    await agreesSoon(sandbox, volumes);
    for (const { volume } of kept) {
      assert.equal(await readFile(join(volume.targetPath, "common"), "utf8"), "common\n");
      assert.deepEqual(await volume.health(), []);
    }
    await Promise.all(volumes.map(({ volume }) => volume.unpublish()));
    await assertNothingLeft(sandbox);
    await soon(async () => {
      for (const folder of ["tmp", "ingest"]) assert.deepEqual(await sandbox.dataNames(folder), []);
    });
    await assertBlobsWhole(sandbox);
    assert.doesNotMatch(sandbox.driver.output, /unexpected driver failure|"level":"error"/);
  },
);

/** Artifacts that have some layers in common, large enough that pulls take a while. */
async function pushArtifacts(registry: EmbeddedRegistry): Promise<readonly string[]> {
  const common = fileLayer("common", "common\n");
  const folder = await folderLayer("folder", { one: "1", two: Buffer.alloc(200_000, 2) });
  const names = Array.from({ length: ARTIFACTS }, (_, i) => `v${i}`);
  const pushed: string[] = [];
  for (const name of names) {
    const own = fileLayer("own", Buffer.alloc(100_000, name));
    pushed.push(await pushThing(registry, artifact([common, folder, own]), name));
  }
  return pushed;
}

/** One call by a client of its own, which is gone in the middle of it if that is wanted. The code it ended with. */
async function ask(
  socketPath: string,
  { volume }: Published,
  publishes: boolean,
  killedAfterMs: number | undefined,
): Promise<string> {
  using client = createConnectClient(socketPath);
  const called = publishes ? client.publish(volume.request()) : client.unpublish(volume.volumeId, volume.targetPath);
  const killed = killedAfterMs === undefined ? undefined : delay(killedAfterMs).then(() => client.close());
  try {
    await called;
    return "OK";
  } catch (reason) {
    if (killedAfterMs !== undefined) return "CANCELED";
    return reason instanceof CsiError ? reason.code : String(reason);
  } finally {
    await killed;
  }
}

async function publishUntilDone(socketPath: string, volume: KubeletVolume): Promise<void> {
  for (;;) {
    using client = createConnectClient(socketPath);
    try {
      return await client.publish(volume.request());
    } catch (reason) {
      if (!(reason instanceof CsiError && CROSSED.includes(reason.code))) throw reason;
    }
  }
}

/** Each volume has one mount, a record and a folder, or none of them; what killed clients asked for may still run. */
function agreesSoon(sandbox: Sandbox, volumes: readonly Published[]): Promise<void> {
  return soon(async () => {
    const names = await sandbox.dataNames("volumes");
    const records = names.filter((name) => name.endsWith(".json"));
    const uppers = names.filter((name) => !name.endsWith(".json"));
    const mounted = sandbox.mounts().map(({ target }) => target);
    assert.equal(new Set(mounted).size, mounted.length, "a volume is mounted twice");
    const recorded = await Promise.all(
      records.map(async (name) => {
        const record = JSON.parse(await readFile(join(sandbox.dataDir, "volumes", name), "utf8"));
        return record as { readonly targetPath: string; readonly readOnly: boolean };
      }),
    );
    assert.deepEqual(recorded.map(({ targetPath }) => targetPath).sort(), mounted.toSorted());
    assert.equal(uppers.length, recorded.filter(({ readOnly }) => !readOnly).length);
    for (const { volume } of volumes) {
      const { targetPath } = volume;
      assert.equal(existsSync(targetPath), mounted.includes(targetPath), `folder and mount of ${targetPath}`);
    }
  });
}
