import { createGrpcJsClient } from "./grpc-js-client.ts";

/** What the livenessprobe sidecar would answer to kubelet. */
export interface ProbeAnswer {
  readonly status: 200 | 500;
  readonly body: string;
}

/** The sidecar's own limit. */
const PROBE_MS = 3000;

/**
 * Asks as the livenessprobe sidecar does for a GET of its /healthz: a connection of its own, Probe, three seconds; a
 * driver that says it is not ready fails, too.
 */
export async function askLikeLivenessProbe(socketPath: string): Promise<ProbeAnswer> {
  using client = createGrpcJsClient(socketPath);
  try {
    const { ready } = await client.probe({ timeoutMs: PROBE_MS });
    return ready ? { status: 200, body: "ok" } : { status: 500, body: "driver responded but is not ready" };
  } catch (reason) {
    return { status: 500, body: String(reason) };
  }
}
