import { stat } from "node:fs/promises";
import { createLayout } from "../../src/cache/index.ts";
import type { Digest } from "../../src/oci/index.ts";
import type { Sandbox } from "../driver/index.ts";

/** Where a layer's download from the repository `team/thing` lies, without TLS. */
export function ingestOf(
  { dataDir }: Sandbox,
  { digest }: { readonly digest: string },
  { host }: { readonly host: string },
): string {
  return createLayout(dataDir).ingestFile(digest as Digest, `http ${host}/team/thing`);
}

/** The size of a file, 0 while it is not there. */
export async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Waits until so many bytes of a download are on disk. */
export async function untilOnDisk(path: string, bytes: number): Promise<void> {
  while ((await sizeOf(path)) < bytes) await new Promise((resolve) => setImmediate(resolve));
}
