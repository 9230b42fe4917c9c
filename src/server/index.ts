export { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";
