export { afterTurn } from "./after-turn.ts";
export { allEnded } from "./all-ended.ts";
export { below } from "./below.ts";
export { type ByteRange, ByteRanges } from "./byte-ranges.ts";
export { type Clock, sleep, systemClock } from "./clock.ts";
export { counted } from "./counted.ts";
export { Deadline } from "./deadline.ts";
export { DISK_BLOCK_BYTES } from "./disk-reader.ts";
export { type DurableOptions, FileDraft, syncFolder, writeFileDurably } from "./durable.ts";
export {
  DriverError,
  describeError,
  type ErrorData,
  type ErrorKind,
  errnoOf,
  errorFromData,
  errorToData,
} from "./errors.ts";
export { type FileHash, FileHasher, isUnreadable } from "./file-hasher.ts";
export { fileStamp } from "./file-stamp.ts";
export { FileValue } from "./file-value.ts";
export { freeBuffers } from "./free-buffers.ts";
export { parseGoDuration } from "./go-duration.ts";
export { KeyedLock } from "./keyed-lock.ts";
export { labelNewFiles } from "./label-new-files.ts";
export { type Libc, type MountCall, openLibc } from "./libc.ts";
export type { Koffi, SystemCallError } from "./libc-calls.ts";
export type { MountAttributes, MountPlace } from "./libc-structs.ts";
export {
  createLogger,
  createSilentLogger,
  type LogFields,
  type Logger,
  type LoggerOptions,
  type LogLevel,
} from "./log.ts";
export { withShortPath } from "./long-path.ts";
export { lookNow } from "./look-now.ts";
export { makeFolders } from "./make-folders.ts";
export { type Collector, createCollector, createMemory, type Memory } from "./memory.ts";
export { type CacheFigures, Metrics, type PullIncrease, type PullResult } from "./metrics.ts";
export { unmapProgramPages } from "./program-pages.ts";
export {
  type BuildInfo,
  buildInfo,
  childEnvironment,
  killProcessGroup,
  loadKoffi,
  proxyVariables,
  startWorker,
  type WorkerName,
} from "./runtime.ts";
export { nearestName } from "./nearest.ts";
export { openAnew } from "./open-anew.ts";
export { parseBool } from "./parse-bool.ts";
export { readFileItself } from "./read-file-itself.ts";
export { RecentKeys } from "./recent-keys.ts";
export { RecentMap } from "./recent-map.ts";
export { renameFolder } from "./rename-folder.ts";
export { Semaphore } from "./semaphore.ts";
export { SingleFlight } from "./single-flight.ts";
export { ThreadLoad } from "./thread-load.ts";
export { unlessMissing } from "./unless-missing.ts";
export { type CallOptions, serveInThisThread, WorkerHost, workerLost } from "./worker-host.ts";
export { type CallContext, serveCalls } from "./worker-serve.ts";
