import { createHash } from "node:crypto";
import { buildInfo, DriverError } from "../base/index.ts";
import { type Digest, digestParts } from "../oci/index.ts";
import { ByteSource } from "./byte-source.ts";
import { decompress, packingOf } from "./decompress.ts";
import type { LayerTable } from "./layer-index.ts";
import { refuseTar } from "./refusal.ts";
import { TarExtractor, type UnpackRules } from "./tar-extractor.ts";
import { TarReader } from "./tar-reader.ts";
import type { UnpackBudget } from "./unpack-budget.ts";

/** For what a tar is unpacked: an artifact's folder, or an image's layer. */
export type UnpackWay = "artifact" | "image";

/** What is unpacked, where to, and how far that may go. */
export interface UnpackOptions {
  /** The layer's bytes, packed as they are in the registry. */
  readonly source: AsyncIterable<Uint8Array>;
  /** A fresh, empty folder that nobody else writes. What is in it after a failure is for the caller to remove. */
  readonly root: string;
  readonly way: UnpackWay;
  /** Each has to have room: the layer's own, and the one that all layers of the artifact share. */
  readonly budgets: readonly UnpackBudget[];
  /** What the uncompressed tar must hash to, where the manifest says so. */
  readonly uncompressedDigest: Digest | undefined;
  /** Whether the index says what each file's content hashes to. Else no file would pass a check of later. */
  readonly hashesFiles: boolean;
  /** Called when a part of the tar is there: it is unpacked when the promise has resolved, or at once. */
  readonly takeTurn: () => Promise<void> | undefined;
  /** Called between two parts of the tar: throws what ends the unpacking. */
  readonly throwIfUnwanted: () => void;
}

/** What a layer became. */
export interface UnpackedLayer {
  /** To be freed when it was written. */
  readonly index: LayerTable;
  /** Device nodes and FIFOs that were left out. */
  readonly skipped: number;
}

const withoutSetId = (mode: number) => mode & 0o1777;

/** Any user of a pod can read all of an artifact; nothing in it is setuid, setgid or sticky (contract.md, "Modes"). */
const rulesOf: Readonly<Record<UnpackWay, UnpackRules>> = {
  artifact: {
    fileMode: (mode) => (mode & 0o777) | 0o444,
    folderMode: (mode) => (mode & 0o777) | 0o555,
    isImageLayer: false,
  },
  image: { fileMode: withoutSetId, folderMode: withoutSetId, isImageLayer: true },
};

/**
 * Unpacks a tar layer while it streams in: decompressed, checked, written and hashed with synchronous calls, so this
 * belongs into a worker. Nothing is synced. Throws "refused" for a tar that is malformed, over a limit, or tries to leave
 * the folder, "corrupt" where the tar is another one than the manifest says, "no-space"; and what the source and
 * `throwIfUnwanted` throw.
 */
export async function unpackLayer(options: UnpackOptions): Promise<UnpackedLayer> {
  const source = new ByteSource(options.source);
  const { root, budgets, hashesFiles } = options;
  const how = { root, budgets, hashesFiles, rules: rulesOf[options.way], utf8Only: isDeno() };
  const extractor = new TarExtractor(how);
  try {
    await readTar(options, source, new TarReader(extractor));
    const index = extractor.finish();
    return { index, skipped: extractor.skipped };
  } finally {
    extractor.close();
    source.close();
  }
}

async function readTar(options: UnpackOptions, source: ByteSource, reader: TarReader): Promise<void> {
  const { uncompressedDigest: expected, takeTurn, throwIfUnwanted } = options;
  const hash = expected === undefined ? undefined : createHash(digestParts(expected).algorithm);
  const packing = await packingOf(source);
  let size = 0;
  for await (const part of decompress(source, packing)) {
    // To wait for nothing would take as long as a small part does.
    const turn = takeTurn();
    if (turn !== undefined) await turn;
    throwIfUnwanted();
    for (const budget of options.budgets) budget.takeTarBytes(part.length);
    hash?.update(part);
    reader.write(part);
    size += part.length;
  }
  // Builders push layers without a byte where nothing changed; GNU tar takes nothing for no tar.
  if (size > 0 || options.way !== "image") reader.end();
  if (packing === "zstd" && !reader.sawEndMarker && isDeno()) {
    throw refuseTar("it has no end marker, and this runtime (Deno) cannot tell whether its zstd data is complete");
  }
  if (expected !== undefined && hash !== undefined && hash.digest("hex") !== digestParts(expected).hex) {
    throw new DriverError("corrupt", `cannot unpack the tar: uncompressed, it is not ${expected} as the manifest says`);
  }
}

/** Deno's node:fs changes bytes that are no UTF-8, and its node:zlib says nothing of zstd data that is cut off. */
function isDeno(): boolean {
  return buildInfo().runtime === "deno";
}
