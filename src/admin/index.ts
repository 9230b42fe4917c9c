export type {
  Admin,
  AdminCallName,
  AdminCallOptions,
  AdminCalls,
  DiskReport,
  ListedTree,
  ListedVolume,
  PruneReport,
  PulledTree,
  TreeOutcome,
  VerifyOutcome,
} from "./admin.ts";
export { CacheAdmin, type CacheAdminOptions } from "./cache-admin.ts";
