import { freeBuffers } from "../../base/index.ts";
import type { HttpBody } from "./http-types.ts";

/** `HttpBody.readAtMost`. Into one buffer if the length is known: several large ones may come at once. */
export async function readAtMostOf(
  maxBytes: number,
  { length, readInto }: Pick<HttpBody, "length" | "readInto">,
): Promise<{ bytes: Buffer; whole: boolean }> {
  if (length !== undefined && length <= maxBytes) return { bytes: await readWhole(length, readInto), whole: true };
  const chunks: Buffer[] = [];
  let left = maxBytes;
  const tooLong = new Error("the body is longer than what is read of it");
  try {
    await readInto((chunk) => {
      const copy = Buffer.allocUnsafeSlow(Math.min(chunk.length, left));
      chunk.copy(copy);
      chunks.push(copy);
      if (chunk.length > left) throw tooLong;
      left -= chunk.length;
    });
    return { bytes: joined(chunks), whole: true };
  } catch (error) {
    if (error !== tooLong) throw error;
    return { bytes: joined(chunks), whole: false };
  }
}

async function readWhole(length: number, readInto: HttpBody["readInto"]): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  try {
    await readInto((chunk) => {
      at += chunk.copy(bytes, at);
    });
    return bytes;
  } catch (error) {
    freeBuffers([bytes]);
    throw error;
  }
}

/** The chunks' bytes in one buffer; their own memory is free again. */
function joined(chunks: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(chunks);
  freeBuffers(chunks);
  return bytes;
}
