import { hostLabel, type Origin } from "../http/target.ts";

const dockerHub = "docker.io";
const dockerHubNames: ReadonlySet<string> = new Set([dockerHub, "index.docker.io", "registry-1.docker.io"]);

/** The one name of a registry that has several. Lower case. */
export function registryName(host: string): string {
  const name = host.toLowerCase();
  return dockerHubNames.has(name) ? dockerHub : name;
}

/** The host that serves a registry's API: Docker Hub's has a name of its own. */
export function apiHostOf(registry: string): string {
  return registryName(registry) === dockerHub ? "registry-1.docker.io" : registry;
}

/** What a host is called as the registry of a reference, in docker configs and providers' patterns. */
export function registryNameOf(origin: Origin): string {
  return registryName(hostLabel(origin));
}

/** True for the host of the registry that a reference names, whatever the scheme. */
export function isHostOfRegistry(origin: Origin, registry: string): boolean {
  const names = [hostLabel(origin), `${origin.host}:${origin.port}`].map(registryName);
  return names.includes(registryName(registry));
}
