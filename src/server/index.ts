export { AdminSocket, type AdminSocketOptions } from "./admin-socket.ts";
export { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";
export { type HealthCheck, HealthChecks, type HealthChecksOptions } from "./health-checks.ts";
export { HttpEndpoint, type HttpEndpointOptions, type HttpPage } from "./http-endpoint.ts";
export { createHttpPages, type HttpPagesOptions } from "./http-pages.ts";
export { createRegistration, type Registration, type RegistrationOptions } from "./registration.ts";
export { createSocketChecks, type ServedSockets } from "./socket-checks.ts";
