import { DriverError } from "../../src/base/index.ts";
import type {
  PublishOutcome,
  PublishRequest,
  StorageHealthEntry,
  VolumeHealthEntry,
  VolumeService,
  VolumeStats,
} from "../../src/volume/index.ts";

/** A `VolumeService` that does what a test says, and remembers what it was asked. */
export class ScriptedVolumes implements VolumeService {
  readonly published: PublishRequest[] = [];
  readonly unpublished: { readonly volumeId: string; readonly targetPath: string }[] = [];
  readonly healthAsked: { readonly volumeId: string; readonly volumePath: string | undefined }[] = [];
  onPublish: (request: PublishRequest) => Promise<void> = () => Promise.resolve();
  outcome: PublishOutcome = "published";
  onStats: (() => Promise<VolumeStats>) | undefined;
  healthEntries: readonly VolumeHealthEntry[] = [];
  storageEntries: readonly StorageHealthEntry[] = [];

  async publish(request: PublishRequest): Promise<PublishOutcome> {
    const { fieldProblems } = request;
    if (fieldProblems.length > 0) throw new DriverError("bad-input", fieldProblems.join("; "));
    this.published.push(request);
    await this.onPublish(request);
    return this.outcome;
  }

  unpublish(request: { readonly volumeId: string; readonly targetPath: string }): Promise<void> {
    this.unpublished.push(request);
    return Promise.resolve();
  }

  stats(request: { readonly volumeId: string; readonly volumePath: string }): Promise<VolumeStats> {
    if (this.onStats !== undefined) return this.onStats();
    return Promise.reject(new DriverError("not-found", `no volume ${request.volumeId} at ${request.volumePath}`));
  }

  health(request: {
    readonly volumeId: string;
    readonly volumePath: string | undefined;
  }): Promise<readonly VolumeHealthEntry[]> {
    this.healthAsked.push(request);
    return Promise.resolve(this.healthEntries);
  }

  storageHealth(): Promise<readonly StorageHealthEntry[]> {
    return Promise.resolve(this.storageEntries);
  }
}
