export { type ClientBench, failsAs, nodeConfig, podSecret, useClient } from "./client-bench.ts";
export { ManualClock } from "./manual-clock.ts";
export { ProxyServer, type ProxyServerOptions } from "./proxy-server.ts";
export { type Peer, RawServer } from "./raw-server.ts";
export { type ScriptedAnswer, ScriptedServer, type SeenRequest } from "./scripted-server.ts";
