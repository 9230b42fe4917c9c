export { type AttributeInfo, attributeTable } from "./attributes.ts";
export { openRecords } from "./open-records.ts";
export type { VolumeRecord } from "./records.ts";
export type {
  PublishOutcome,
  PublishRequest,
  StorageHealthEntry,
  VolumeHealthEntry,
  VolumeService,
  VolumeStats,
  VolumeUsage,
} from "./volume-service.ts";
export { Volumes, type VolumesOptions } from "./volumes.ts";
