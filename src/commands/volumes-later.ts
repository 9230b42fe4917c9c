import { DriverError } from "../base/index.ts";
import type { VolumeService } from "../volume/index.ts";

/** The volume service before it is there: the socket is served from the first moment, so that nobody gives up on it. */
export class VolumesLater implements VolumeService {
  #volumes: VolumeService | undefined;

  get isReady(): boolean {
    return this.#volumes !== undefined;
  }

  become(volumes: VolumeService): void {
    this.#volumes = volumes;
  }

  publish: VolumeService["publish"] = async (request) => this.#get().publish(request);
  unpublish: VolumeService["unpublish"] = async (request) => this.#get().unpublish(request);
  stats: VolumeService["stats"] = async (request) => this.#get().stats(request);
  health: VolumeService["health"] = async (request) => this.#get().health(request);
  storageHealth: VolumeService["storageHealth"] = async () => this.#get().storageHealth();

  #get(): VolumeService {
    if (this.#volumes !== undefined) return this.#volumes;
    throw new DriverError("unavailable", "the driver is starting: it reads what is published on this node");
  }
}
