import { createLogger, describeError, type Logger } from "../base/index.ts";
import { parseConfig, type ServeConfig } from "../config/index.ts";
import type { CommandContext } from "./context.ts";

/** `oras-csi serve`: the driver, until it is asked to stop. */
export async function runServe(context: CommandContext): Promise<number> {
  const config = parseConfig(context);
  const signal = context.stopSignal();
  const logger = createLogger({ level: config.logLevel, format: config.logFormat, write: context.writeError });
  context.onCrash((reason) => logger.error("the driver crashed", { error: describeError(reason), ...stackOf(reason) }));
  if (config.ignored.length > 0) {
    logger.info("some flags are accepted for the Go driver's sake and have no effect", { flags: config.ignored });
  }
  await runDriver(config, { logger, signal });
  return 0;
}

/** Serves until the signal fires, then lets calls in flight finish. */
async function runDriver(_config: ServeConfig, { logger, signal }: DriverSurroundings): Promise<void> {
  logger.info("the driver runs");
  await untilAborted(signal);
  logger.info("the driver stopped");
}

interface DriverSurroundings {
  readonly logger: Logger;
  readonly signal: AbortSignal;
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
