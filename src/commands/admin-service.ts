import { CacheAdmin } from "../admin/index.ts";
import { type Artifacts, layersOfTree } from "../artifact/index.ts";
import { type Clock, describeError, type Logger, type Memory } from "../base/index.ts";
import type { Cache, TreeId } from "../cache/index.ts";
import { AdminSocket } from "../server/index.ts";
import { Verifier } from "../verify/index.ts";
import type { Volumes } from "../volume/index.ts";

/** What the driver lets people administer. */
export interface AdminServiceOptions {
  readonly cache: Cache;
  readonly artifacts: Artifacts;
  readonly volumes: Volumes;
  readonly memory: Memory;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What `oras-csi cache` and `oras-csi pull` ask of a driver that runs. */
export class AdminService {
  readonly #verifier: Verifier;
  readonly #socket: AdminSocket | undefined;

  private constructor(verifier: Verifier, socket: AdminSocket | undefined) {
    this.#verifier = verifier;
    this.#socket = socket;
  }

  /** Serves the data dir's admin socket. A driver works without it, too: where it cannot be, that is logged. */
  static async open(options: AdminServiceOptions): Promise<AdminService> {
    const { cache, artifacts, volumes, clock, log } = options;
    const partsOf = (id: TreeId) => layersOfTree(options, id);
    const verifier = new Verifier({ cache, partsOf, clock, log });
    const records = () => volumes.records();
    const admin = new CacheAdmin({ cache, artifacts, puller: artifacts, verifier, volumes: records });
    const opening = AdminSocket.open({ path: cache.layout.adminSocket, admin, logger: log });
    const socket = await opening.catch((error: unknown) => {
      const reason = describeError(error);
      const message =
        "no admin socket can be served: oras-csi cache and pull work on it only while the driver is stopped";
      log.warn(message, { reason });
      return undefined;
    });
    return new AdminService(verifier, socket);
  }

  /** Cuts off who asks. */
  async close(): Promise<void> {
    await this.#socket?.close();
    await this.#verifier.close();
  }
}
