import { close, read, write } from "node:fs";

const INIT = 26;
const DESTROY = 38;
/** Nobody waits for an answer to these: FORGET, INTERRUPT, BATCH_FORGET. */
const unanswered: ReadonlySet<number> = new Set([2, 36, 42]);
const ESTALE = 116;
const IN_HEADER_BYTES = 40;
const OUT_HEADER_BYTES = 16;
const INIT_OUT_BYTES = 64;

/**
 * Serves a FUSE file system (linux/fuse.h) that is there and answers all that it is asked with ESTALE, as NFS does once
 * its server has forgotten the folder. Ends when the file system is unmounted, and closes the device then.
 */
export function serveStale(device: number): void {
  const request = Buffer.alloc(256 * 1024);
  const next = () =>
    read(device, request, 0, request.length, null, (failure, length) => {
      // A request that was given up meanwhile (ENOENT) is none; after the unmount there are no more (ENODEV).
      if (failure !== null && failure.code !== "ENOENT") return close(device);
      if (failure !== null || length < IN_HEADER_BYTES || unanswered.has(request.readUInt32LE(4))) return next();
      const answer = answerTo(request);
      write(device, answer, 0, answer.length, null, () => next());
    });
  next();
}

function answerTo(request: Buffer): Buffer {
  const opcode = request.readUInt32LE(4);
  const answer = Buffer.alloc(OUT_HEADER_BYTES + (opcode === INIT ? INIT_OUT_BYTES : 0));
  answer.writeUInt32LE(answer.length, 0);
  answer.writeInt32LE(opcode === INIT || opcode === DESTROY ? 0 : -ESTALE, 4);
  request.copy(answer, 8, 8, 16);
  if (opcode !== INIT) return answer;
  // The protocol's version as it was asked for, no features, and the smallest writes that are allowed.
  request.copy(answer, OUT_HEADER_BYTES, IN_HEADER_BYTES, IN_HEADER_BYTES + 8);
  answer.writeUInt32LE(4096, OUT_HEADER_BYTES + 20);
  return answer;
}
