import { createLogger, describeError, type Logger, labelNewFiles, systemClock } from "../base/index.ts";
import { parseConfig } from "../config/index.ts";
import { closeInTime } from "./close-in-time.ts";
import type { CommandContext } from "./context.ts";
import { Driver } from "./driver.ts";

/** `oras-csi serve`: the driver, until it is asked to stop. */
export async function runServe(context: CommandContext): Promise<number> {
  const config = parseConfig(context);
  const signal = context.stopSignal();
  const log = createLogger({ level: config.logLevel, format: config.logFormat, write: context.writeError });
  labelWhatIsWritten(config.selinuxLabel, log);
  const logCrash = (reason: unknown) =>
    log.error("the driver crashed", { error: describeError(reason), ...stackOf(reason) });
  context.onCrash(logCrash);
  if (context.userId !== 0) {
    log.warn("the driver does not run as root: it cannot mount volumes", { userId: context.userId });
  }
  if (config.ignored.length > 0) {
    log.info("some flags are accepted for the Go driver's sake and have no effect", { flags: config.ignored });
  }
  const driver = await openDriver({ config, build: context.build, log, signal });
  if (driver === undefined) return 0;
  context.onCrash((reason) => {
    logCrash(reason);
    // process.exit() would wait for threads that hang.
    driver.exit(1);
  });
  await untilAborted(signal);
  log.info("the driver stops");
  await closeInTime(driver, { clock: systemClock, log });
  return 0;
}

/** Before anything asynchronous: what was started earlier would write without the label. */
function labelWhatIsWritten(label: string, log: Logger): void {
  try {
    labelNewFiles(label);
  } catch (error) {
    const message = "what is written to the cache gets no SELinux label: pods may be denied to read their volumes";
    log.error(message, { label, error: describeError(error) });
  }
}

/** The driver; undefined if it was asked to stop before it ran. */
async function openDriver(options: Parameters<typeof Driver.open>[0]): Promise<Driver | undefined> {
  try {
    return await Driver.open(options);
  } catch (error) {
    if (options.signal.aborted) return undefined;
    throw error;
  }
}

/** Waits for the signal and keeps the process alive meanwhile: a listener alone does not. */
function untilAborted(signal: AbortSignal): Promise<void> {
  const { port1 } = new MessageChannel();
  port1.onmessage = () => undefined;
  return new Promise((resolve) => {
    const stop = () => {
      port1.close();
      resolve();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

function stackOf(reason: unknown): { stack?: string } {
  return reason instanceof Error && reason.stack !== undefined ? { stack: reason.stack } : {};
}
