import { createContextKey } from "@connectrpc/connect";
import type { PublishOutcome } from "../volume/index.ts";

/** What a NodePublishVolume came to, told to the interceptors of the call: its answer has no field for it. */
export const publishOutcome = createContextKey<PublishOutcome | undefined>(undefined, {
  description: "what a publish came to",
});
