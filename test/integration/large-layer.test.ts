import assert from "node:assert/strict";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseDigest } from "../../src/oci/index.ts";
import { Sandbox } from "../driver/index.ts";
import { EmbeddedRegistry, rawManifest, TITLE } from "../registry/index.ts";
import { ingestOf, sizeOf, untilOnDisk } from "./partials.ts";
import { attributes, pushThing, REAL } from "./support.ts";

// Nothing but zeros: what came so far can be a hole, which takes no disk. The digest is that of so many of them.
const SIZE = 5_000_000_000;
const DIGEST = parseDigest("sha256:750f9080de24a9e562c6b1fecc288c732a758003ab16e5cad014eba45c17466b");
const BEGIN = 2_000_000;
const REST = 1_000_000;

test("a layer whose bytes are counted beyond 4 GiB is gone on with near its end", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const layers = [{ mediaType: "x/zeros", digest: DIGEST, size: SIZE, annotations: { [TITLE]: "zeros" } }];
  const reference = await pushThing(registry, rawManifest({ schemaVersion: 2, layers }, []));
  const range = `${SIZE - REST}-${SIZE - 1}`;
  registry.fault = ({ headers, method, path }) => {
    if (method !== "GET" || !path.endsWith(DIGEST)) return undefined;
    // The connection stays open, and brings no more.
    if (headers["range"] === undefined)
      return { kind: "body", pieces: [Buffer.alloc(BEGIN)], headers: { "content-length": `${SIZE}` } };
    const isRest = headers["range"] === `bytes=${range}`;
    return isRest
      ? {
          kind: "status",
          status: 206,
          headers: { "content-range": `bytes ${range}/${SIZE}` },
          body: "\0".repeat(REST),
        }
      : { kind: "status", status: 404 };
  };
  await using sandbox = await Sandbox.start();
  const first = sandbox.kubelet.volume({ attributes: attributes(reference) });
  const left = assert.rejects(first.publish());
  const ingest = ingestOf(sandbox, { digest: DIGEST }, registry);
  await untilOnDisk(ingest, BEGIN);
  await first.unpublish();
  await left;
  await truncate(ingest, SIZE - REST);

  registry.log.clear();
  const second = sandbox.kubelet.volume({ attributes: attributes(reference) });
  // All of it is hashed again.
  await second.publish({ timeoutMs: 110_000 });
  assert.equal(await sizeOf(join(second.targetPath, "zeros")), SIZE);
  assert.deepEqual(
    registry.log.blobGets(DIGEST).map(({ headers, bytesSent }) => [headers["range"], bytesSent]),
    [[`bytes=${range}`, REST]],
  );
});
