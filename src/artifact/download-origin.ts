import type { PullJob } from "./worker-calls.ts";

/**
 * Who gives the bytes of a download: two that differ neither wait for each other nor go on with each other's bytes, since
 * one may be slow on purpose, and what one gave proves nothing of another. The repository, and how it is reached; where
 * nobody asks whose bytes are whose, the registry.
 */
export function downloadOrigin({
  repository: of,
  enforceNamespaces,
}: Pick<PullJob, "repository" | "enforceNamespaces">) {
  const registry = `${of.transport} ${of.registry}`;
  return enforceNamespaces ? `${registry}/${of.repository}` : registry;
}
