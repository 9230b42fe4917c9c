export { type CsiOptions, createCsiRoutes } from "./routes.ts";
