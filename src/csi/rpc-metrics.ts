import { ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Clock } from "../base/index.ts";
import { codeName } from "./status.ts";

/** Is told of each call when it ends, for metrics. */
export interface RpcObserver {
  rpcDone(call: { readonly method: string; readonly code: string; readonly seconds: number }): void;
}

/** Tells an observer of each call. Must see statuses: put `statusInterceptor` after it. */
export function createRpcMetrics(observer: RpcObserver, clock: Clock): Interceptor {
  return (next) => async (request) => {
    const startMs = clock.monotonicMs();
    const done = (code: string) =>
      observer.rpcDone({ method: request.method.name, code, seconds: (clock.monotonicMs() - startMs) / 1000 });
    try {
      const response = await next(request);
      done("OK");
      return response;
    } catch (reason) {
      done(codeName(ConnectError.from(reason).code));
      throw reason;
    }
  };
}
