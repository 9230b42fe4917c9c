/**
 * Frees at once the memory that buffers and typed arrays lie in, all of it: nothing may need it any more. The garbage
 * collection looks at what such memory takes only every 64 MB, in each thread. Nothing happens to what was freed before.
 */
export function freeBuffers(views: Iterable<ArrayBufferView>): void {
  for (const { buffer } of views) if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
