import { CacheAdmin } from "../admin/index.ts";
import type { Artifacts } from "../artifact/index.ts";
import { type Clock, describeError, type Logger } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import { AdminSocket } from "../server/index.ts";
import { Verifier } from "../verify/index.ts";
import type { Volumes } from "../volume/index.ts";

/** What the driver lets people administer. */
export interface AdminServiceOptions {
  readonly cache: Cache;
  readonly artifacts: Artifacts;
  readonly volumes: Volumes;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What `oras-csi cache` asks of a driver that runs. */
export class AdminService {
  readonly #verifier: Verifier;
  #socket: AdminSocket | undefined;

  private constructor(verifier: Verifier) {
    this.#verifier = verifier;
  }

  /** Serves the data dir's admin socket. A driver works without it, too: where it cannot be, that is logged. */
  static async open({ cache, artifacts, volumes, clock, log }: AdminServiceOptions): Promise<AdminService> {
    const verifier = new Verifier({ cache, clock, log });
    const service = new AdminService(verifier);
    const admin = new CacheAdmin({ cache, artifacts, verifier, volumes: () => volumes.records(), clock });
    try {
      service.#socket = await AdminSocket.open({ path: cache.layout.adminSocket, admin, logger: log });
    } catch (error) {
      log.warn("cannot serve the admin socket: oras-csi cache works only while the driver is stopped", {
        error: describeError(error),
      });
    }
    return service;
  }

  /** Cuts off who asks. */
  async close(): Promise<void> {
    await this.#socket?.close();
    await this.#verifier.close();
  }
}
