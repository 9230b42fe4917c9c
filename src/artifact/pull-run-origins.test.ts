import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type PullBench, usePulls } from "../../test/helpers/pull-bench.ts";
import { artifact, type BuiltLayer, fileLayer, folderLayer } from "../../test/registry/index.ts";

const kinds: readonly { kind: string; make: () => Promise<BuiltLayer> }[] = [
  { kind: "file", make: () => Promise.resolve(fileLayer("data", randomBytes(300_000))) },
  { kind: "folder", make: () => folderLayer("data", { x: randomBytes(300_000) }) },
];

const repositoryOf = ({ registry }: PullBench, repository: string) =>
  ({ registry: registry.host, repository, transport: "http" }) as const;

/** A blob that one repository sends half of and then no more, until it is let. */
async function useSlowOrigin(bench: PullBench, data: BuiltLayer) {
  await bench.push(artifact([data]));
  bench.registry.content.putBlob("team/slow", data.digest, data.bytes);
  const gate = Promise.withResolvers<void>();
  bench.registry.fault = ({ path, method }) =>
    method === "GET" && path.includes("/team/slow/blobs/")
      ? { kind: "hold", afterBytes: 150_000, until: gate.promise }
      : undefined;
  const trickling = bench.registry.log.waitFor(({ bytesSent, path }) => bytesSent === 150_000 && /slow/.test(path));
  return { gate, trickling };
}

/** What the cache keeps of the layer. */
const keptOf = (bench: PullBench, { digest }: BuiltLayer) =>
  ["blobs", "layers"].flatMap((folder) => {
    const path = join(bench.area.dataDir, folder, "sha256");
    const names = readdirSync(path).filter((name) => name.startsWith(digest.slice("sha256:".length)));
    return names.map((name) => `${name} ${statSync(join(path, name)).ino}`);
  });

for (const { kind, make } of kinds) {
  describe(`a ${kind} that a slow repository is sending`, () => {
    for (const enforceNamespaces of [true, false]) {
      const how = enforceNamespaces
        ? "for a namespace that has to prove it"
        : "where nobody asks whose bytes are whose";
      test(`holds up no pull of the same bytes from another registry, ${how}, and is stored once`, async () => {
        await using bench = await usePulls();
        const data = await make();
        const { gate, trickling } = await useSlowOrigin(bench, data);
        // The registry by another name.
        const registry = bench.registry.host.replace("127.0.0.1", "localhost");
        const slow = bench.pull(artifact([data]), {
          repository: { ...repositoryOf(bench, "team/slow"), registry },
          enforceNamespaces,
          unproven: [data.digest as never],
        });
        await trickling;
        const healthy = await bench.pull(artifact([data]), { enforceNamespaces });
        assert.equal(healthy.found.at(-1)?.path.startsWith("data"), true);
        const kept = keptOf(bench, data);
        gate.resolve();
        assert.deepEqual((await slow).found.length, healthy.found.length);
        assert.deepEqual(keptOf(bench, data), kept);
        assert.deepEqual(bench.given, [data.digest]);
        assert.deepEqual(
          (await bench.stored()).filter((path) => /^(ingest|tmp)/.test(path)),
          [],
        );
      });
    }
  });
}

test("pulls from one repository fetch the same bytes once", async () => {
  await using bench = await usePulls();
  const data = fileLayer("data", randomBytes(300_000));
  await bench.push(artifact([data]));
  await Promise.all([bench.pull(artifact([data])), bench.pull(artifact([data]))]);
  assert.equal(bench.registry.log.blobGets().length, 1);
});
