import type { HealthChecks } from "./health-checks.ts";
import { type HttpEndpointOptions, textPage } from "./http-endpoint.ts";

/** What the pages show. */
export interface HttpPagesOptions {
  /** Whether the driver lives; if not, starting it anew may help. */
  readonly health: HealthChecks;
  /** Whether it can do its work. */
  readonly readiness: HealthChecks;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
}

/** `/healthz` and `/readyz`: 200 "ok" or 500 and what is wrong. `/metrics`: Prometheus' text format. */
export function createHttpPages({ health, readiness, metrics }: HttpPagesOptions): HttpEndpointOptions["pages"] {
  const healthPage = (checks: HealthChecks) => async () => {
    const wrong = await checks.run();
    return wrong === undefined ? textPage(200, "ok") : textPage(500, wrong);
  };
  return {
    "/healthz": healthPage(health),
    "/readyz": healthPage(readiness),
    "/metrics": async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.text() }),
  };
}
