import { type Clock, DriverError, SingleFlight } from "../base/index.ts";
import type { MountAt, Mounter } from "./mounter.ts";

/** A live file system answers in milliseconds, a slow network one in seconds. */
const DEFAULT_LIMIT_MS = 5_000;

/** How long is waited, and by whose clock. */
export interface BoundedOptions {
  readonly clock: Clock;
  readonly limitMs?: number;
}

/**
 * A mounter whose look at a path gives up on a file system that hangs: "unavailable" that names the path. However
 * often it is asked meanwhile, one look at most hangs for each path, since each one holds a thread of the process.
 */
export function createBoundedMounter(mounter: Mounter, { clock, limitMs = DEFAULT_LIMIT_MS }: BoundedOptions): Mounter {
  const looks = new SingleFlight<MountAt | undefined>();
  return {
    bind: (options) => mounter.bind(options),
    overlay: (options) => mounter.overlay(options),
    unmount: (target, how) => mounter.unmount(target, how),
    mountIdHolding: (path) => mounter.mountIdHolding(path),
    mountHolding: (path) => mounter.mountHolding(path),
    mountsBelow: (path) => mounter.mountsBelow(path),
    mounts: () => mounter.mounts(),
    mountAt(path) {
      const look = looks.run(path, () => mounter.mountAt(path));
      return new Promise((resolve, reject) => {
        const giveUp = () => {
          const seconds = limitMs / 1000;
          reject(
            new DriverError("unavailable", `what is mounted at ${path} did not answer within ${seconds} s: it hangs`),
          );
        };
        const cancel = clock.after(limitMs, giveUp);
        look.then(resolve, reject).finally(cancel);
      });
    },
  };
}
