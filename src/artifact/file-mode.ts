import { BLOB_MODE } from "../cache/index.ts";
import { annotationKeys, type Descriptor, isJsonObject } from "../oci/index.ts";

/**
 * The mode of a file layer where its metadata (model-spec, annotations.md: FileMetadata) asks for another than its blob
 * has; undefined: the blob's. Anybody may read it, nothing is setuid. A mode of 0 is what Go tools write for none.
 */
export function fileModeOf({ annotations }: Pick<Descriptor, "annotations">): number | undefined {
  const text = annotations[annotationKeys.fileMetadata] || annotations[annotationKeys.oldFileMetadata];
  const mode = text === undefined || text.length > MAX_METADATA_LENGTH ? undefined : modeIn(text);
  if (mode === undefined || mode === 0) return undefined;
  const readable = (mode & 0o777) | 0o444;
  return readable === BLOB_MODE ? undefined : readable;
}

/** What is longer says more than the seven facts of a file, and is not worth its memory. */
const MAX_METADATA_LENGTH = 16 * 1024;

/** Undefined for what is no metadata: it only describes the file, which is there all the same. */
function modeIn(text: string): number | undefined {
  try {
    const metadata: unknown = JSON.parse(text);
    const mode = isJsonObject(metadata) ? metadata["mode"] : undefined;
    return typeof mode === "number" && Number.isSafeInteger(mode) && mode >= 0 ? mode : undefined;
  } catch {
    return undefined;
  }
}
