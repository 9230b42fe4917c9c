import { collectDefaultMetrics, Registry } from "prom-client";

/**
 * Of the library's metrics of the process, those that say something about a driver. Its percentiles of event loop delay
 * are left out: they measure their own timer's interval, too.
 */
const SHOWN = [
  "process_cpu_seconds_total",
  "process_start_time_seconds",
  "process_resident_memory_bytes",
  "process_virtual_memory_bytes",
  "process_open_fds",
  "process_max_fds",
  "nodejs_eventloop_lag_seconds",
  "nodejs_active_resources",
  "nodejs_heap_size_total_bytes",
  "nodejs_heap_size_used_bytes",
  "nodejs_external_memory_bytes",
  "nodejs_gc_duration_seconds",
];

/** A timer that runs for the percentiles that are left out: as rarely as can be, at 10 ms it costs 0.4 % of a CPU. */
const UNUSED_TIMER_MS = 60_000;

/** Adds metrics of this process, all threads included, to a registry. */
export function collectProcessMetrics(registry: Registry, prefix: string): void {
  const all = new Registry();
  collectDefaultMetrics({ register: all, prefix, eventLoopMonitoringPrecision: UNUSED_TIMER_MS });
  for (const name of SHOWN) {
    const metric = all.getSingleMetric(`${prefix}${name}`);
    // Some are not to be had on Deno.
    if (metric !== undefined) registry.registerMetric(metric);
  }
}
