import type { Http2Session } from "node:http2";
import { afterTurn, buildInfo } from "../base/index.ts";

/**
 * Lets a session on Deno end in a turn of its own. Deno (seen with 2.9.6; denoland/deno 36788) frees a session at once
 * when a frame that it still reads ends it, as every client's goodbye does: memory is then read that is something
 * else's by now, and the process aborts sooner or later. On Node this does nothing.
 */
export function endInOwnTurn(session: Http2Session): void {
  if (buildInfo().runtime !== "deno") return;
  const destroy = session.destroy.bind(session);
  session.destroy = (error, code) => afterTurn(() => destroy(error, code));
}
