import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type Descriptor, digestOf } from "../../src/oci/index.ts";
import { anonymous, BlobProgress, type BlobQuery } from "../../src/registry/index.ts";
import { type ScriptedAnswer, type SeenRequest, useClient } from "./index.ts";

/** What is fetched unless a test says otherwise. */
export const blob = randomBytes(3 * 1024 * 1024);

/** How a manifest names bytes. */
export function descriptorOf(bytes: Uint8Array, more: Partial<Descriptor> = {}): Descriptor {
  const none = { annotations: {}, platform: undefined, urls: [], data: undefined };
  return { mediaType: "x/y", digest: digestOf(bytes), size: bytes.length, ...none, ...more };
}

/** Takes a blob as the driver's ingest files do, and remembers how it came. */
export class MemorySink {
  bytes = Buffer.alloc(0);
  restarts = 0;

  write(chunk: Buffer, offset: number): void {
    assert.equal(offset, this.bytes.length);
    this.bytes = Buffer.concat([this.bytes, chunk]);
  }

  read = (into: Buffer, offset: number): Promise<number> => Promise.resolve(this.bytes.copy(into, 0, offset));

  restart(): void {
    this.restarts++;
    this.bytes = Buffer.alloc(0);
  }
}

/** A client, a server that answers so, and what fetches a blob from it. */
export async function useBlob(
  answer: (request: SeenRequest, count: number) => ScriptedAnswer,
  bytes: Uint8Array = blob,
) {
  const sink = new MemorySink();
  const bench = await useClient((request) => answer(request, bench.server.seen.length));
  return Object.assign(bench, {
    sink,
    /** Fetches into the sink, after `prefix`. */
    fetch(more: Partial<BlobQuery> = {}, prefix?: Uint8Array) {
      if (prefix !== undefined) sink.bytes = Buffer.from(prefix);
      return bench.client.fetchBlob({
        repository: bench.query().repository,
        descriptor: descriptorOf(bytes),
        credential: anonymous,
        sink,
        ...(prefix === undefined
          ? {}
          : { progress: new BlobProgress(descriptorOf(bytes), [{ start: 0, end: prefix.length }]) }),
        ...more,
      });
    },
    ranges: () => bench.server.seen.map(({ headers }) => headers.range),
  });
}

/** A server that understands ranges as it should. */
export function ranged({ headers }: SeenRequest, bytes: Buffer = blob): ScriptedAnswer {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
  if (first === undefined) return { body: bytes };
  const headersOut = { "content-range": `bytes ${first}-${last}/${bytes.length}` };
  return { status: 206, headers: headersOut, body: bytes.subarray(Number(first), Number(last) + 1) };
}
