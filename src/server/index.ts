export { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";
export {
  createRegistration,
  type Registration,
  type RegistrationOptions,
} from "./registration.ts";
