import { DriverError } from "../base/index.ts";
import { type Digest, parseDigest } from "./digest.ts";

/** Which artifact: registry/repository with a tag, a digest or both (then the digest decides). Normalised. */
export interface Reference {
  /** `host` or `host:port` in lower case; Docker Hub is `docker.io`. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

// distribution-spec 1.1, "Pulling manifests": the name and tag grammars; capitals are told about by themselves.
const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/i;
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const label = "[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?";
const hostForm = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-f:.]+\\])(?::([0-9]{1,5}))?$`);
/** Bytes of the longest DNS name, and a port. */
const MAX_HOST_LENGTH = 253 + ":65535".length;
const schemeForm = /^[a-z][a-z0-9+.-]*:\/\//i;
const dockerHubNames = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/**
 * Reads a reference as pods write it. The first part is a registry if it has a `.` or a `:` or is `localhost`; else
 * the registry is docker.io, whose one-part names get `library/`. Without tag and digest the tag is `latest`.
 * Throws "bad-input".
 */
export function parseReference(text: string): Reference {
  const bare = text.trim().replace(/^oras:\/\//, "");
  const scheme = schemeForm.exec(bare)?.[0];
  if (scheme !== undefined) throw malformed(text, `write it without ${scheme}`);
  const at = bare.indexOf("@");
  const digest = at < 0 ? undefined : digestFrom(bare.slice(at + 1), text);
  const { registry, rest } = splitRegistry(at < 0 ? bare : bare.slice(0, at), text);
  const colon = rest.lastIndexOf(":");
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (tag !== undefined && !tagForm.test(tag))
    throw malformed(text, `the tag ${JSON.stringify(shorten(tag))} is not one`);
  const repository = registry === "docker.io" && !path.includes("/") && path !== "" ? `library/${path}` : path;
  checkRepository(repository, text);
  return { registry, repository, tag: tag ?? (digest === undefined ? "latest" : undefined), digest };
}

/** The full, normalised text of a reference. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

function splitRegistry(text: string, whole: string): { registry: string; rest: string } {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  if (!/[.:]/.test(first) && first.toLowerCase() !== "localhost") return { registry: "docker.io", rest: text };
  const registry = first.toLowerCase();
  const host = registry.length > MAX_HOST_LENGTH ? null : hostForm.exec(registry);
  if (host === null) throw malformed(whole, `${JSON.stringify(shorten(first))} is no registry host`);
  if (host[1] !== undefined && (Number(host[1]) < 1 || Number(host[1]) > 65535)) {
    throw malformed(whole, `the port ${host[1]} is not between 1 and 65535`);
  }
  // Numbers that are no IPv4 address, groups that are no IPv6 address: nothing could be asked there.
  if (!URL.canParse(`https://${registry}/`)) throw malformed(whole, `${JSON.stringify(first)} is no registry host`);
  return { registry: dockerHubNames.has(registry) ? "docker.io" : registry, rest: text.slice(slash + 1) };
}

function checkRepository(repository: string, whole: string): void {
  if (repository === "") throw malformed(whole, "it names no repository");
  if (repository.length > 255) throw malformed(whole, "the repository is longer than 255 characters");
  for (const part of repository.split("/")) {
    if (part === "") throw malformed(whole, "a part of the repository's name is empty: see its slashes");
    if (!component.test(part)) throw malformed(whole, `${JSON.stringify(part)} is no part of a repository's name`);
  }
  if (/[A-Z]/.test(repository)) {
    throw malformed(
      whole,
      `repositories have no capitals, they are in lower case: write ${JSON.stringify(repository.toLowerCase())}`,
    );
  }
}

function digestFrom(text: string, whole: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw malformed(whole, error instanceof Error ? error.message : "its digest is malformed");
  }
}

function malformed(text: string, why: string): DriverError {
  return new DriverError("bad-input", `reference ${JSON.stringify(shorten(text))}: ${why}`);
}

function shorten(text: string): string {
  return text.length > 300 ? `${text.slice(0, 150)}…${text.slice(-100)}` : text;
}
