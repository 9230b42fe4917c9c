import { DriverError } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import type { ResolveRequest } from "./resolver.ts";

/** Takes away what a namespace was once allowed if the registry has just refused it, by 401 or 403. */
export async function revokeIfRefused(
  references: Pick<Cache["references"], "revoke">,
  { repository, namespace }: Pick<ResolveRequest, "repository" | "namespace">,
  error: unknown,
): Promise<void> {
  if (namespace === undefined || !(error instanceof DriverError)) return;
  if (error.kind === "unauthenticated" || error.kind === "forbidden") await references.revoke(repository, namespace);
}
