export { type CsiOptions, createCsiRoutes } from "./routes.ts";
export type { RpcObserver } from "./rpc-metrics.ts";
