import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  createMethodImplSpec,
  createServiceImplSpec,
  type MethodImpl,
  type ServiceImpl,
} from "@connectrpc/connect";
import {
  createUniversalMethodHandler,
  createUniversalServiceHandlers,
  type UniversalHandler,
  type UniversalHandlerOptions,
} from "@connectrpc/connect/protocol";
import { createUnaryFactory } from "./unary-factory.ts";

/** Takes services as Connect's own router does, and serves them by gRPC and no other protocol. */
export class GrpcRouter implements ConnectRouter {
  readonly handlers: UniversalHandler[] = [];
  readonly #options: Partial<UniversalHandlerOptions>;

  /** The options are for all services; what a service brings itself goes over them. */
  constructor(options: Partial<UniversalHandlerOptions>) {
    this.#options = options;
  }

  service<T extends DescService>(
    service: T,
    implementation: Partial<ServiceImpl<T>>,
    options?: Partial<UniversalHandlerOptions>,
  ): this {
    const factory = createUnaryFactory({ ...this.#options, ...options });
    this.handlers.push(...createUniversalServiceHandlers(createServiceImplSpec(service, implementation), [factory]));
    return this;
  }

  rpc<M extends DescMethod>(method: M, impl: MethodImpl<M>, options?: Partial<UniversalHandlerOptions>): this {
    const factory = createUnaryFactory({ ...this.#options, ...options });
    this.handlers.push(createUniversalMethodHandler(createMethodImplSpec(method, impl), [factory]));
    return this;
  }
}
