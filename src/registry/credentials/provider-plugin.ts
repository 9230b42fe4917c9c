import { posix } from "node:path";
import { type Clock, parseGoDuration } from "../../base/index.ts";
import { isJsonObject } from "../../oci/index.ts";
import type { Credential } from "../credential.ts";
import { matchesImagePattern } from "./image-pattern.ts";
import type { CredentialProvider } from "./provider-config.ts";
import { ProgramFault, runProgram } from "./run-program.ts";

/** For which images an answer may be used again. */
export type ProviderCacheKey = "Image" | "Registry" | "Global";

/** What a plugin answered. */
export interface ProviderAnswer {
  readonly cacheKey: ProviderCacheKey;
  /** 0: not to be used again. */
  readonly cacheMs: number;
  /** By pattern of images. */
  readonly logins: ReadonlyMap<string, { readonly username: string; readonly password: string }>;
}

const cacheKeys: ReadonlySet<unknown> = new Set(["Image", "Registry", "Global"]);

/**
 * Runs a plugin for an image (`registry/repository`), as kubelet does. Rejects with a `ProgramFault`, which quotes
 * nothing that it said. (credentialprovider.kubelet.k8s.io/v1)
 */
export async function askProvider(
  provider: CredentialProvider,
  image: string,
  { binDir, clock }: { readonly binDir: string; readonly clock: Clock },
): Promise<ProviderAnswer> {
  const { name, args, env, apiVersion } = provider;
  const request = { apiVersion, kind: "CredentialProviderRequest", image };
  const file = posix.join(binDir, name);
  const { code, stdout } = await runProgram({ file, args, env, stdin: JSON.stringify(request), clock });
  if (code !== 0) throw new ProgramFault(`ended with code ${code}`);
  return parseAnswer(stdout, provider);
}

/** The logins of an answer that are meant for an image, most exact pattern first. */
export function loginsFor({ logins }: ProviderAnswer, image: string, source: string): Credential[] {
  const patterns = [...logins.keys()].filter((pattern) => matchesImagePattern(pattern, image));
  return patterns
    .sort()
    .reverse()
    .flatMap((pattern) => {
      const { username = "", password = "" } = logins.get(pattern) ?? {};
      if (username === "" && password === "") return [];
      return [{ kind: "password", username, password, source, owner: "node" } as const];
    });
}

function parseAnswer(text: string, { apiVersion, defaultCacheMs }: CredentialProvider): ProviderAnswer {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProgramFault("did not answer in JSON");
  }
  if (!isJsonObject(value) || value["kind"] !== "CredentialProviderResponse" || value["apiVersion"] !== apiVersion)
    throw new ProgramFault("did not answer as providers of its apiVersion do");
  const { cacheKeyType, cacheDuration, auth } = value;
  if (!cacheKeys.has(cacheKeyType)) throw new ProgramFault("answered with a cacheKeyType that is none");
  const cacheMs = cacheDuration === undefined || cacheDuration === null ? defaultCacheMs : durationOf(cacheDuration);
  if (auth !== undefined && auth !== null && !isJsonObject(auth))
    throw new ProgramFault("answered with an auth that is none");
  const logins = new Map<string, { username: string; password: string }>();
  for (const [pattern, login] of Object.entries(auth ?? {})) {
    const { username = "", password = "" } = isJsonObject(login) ? login : {};
    if (typeof username === "string" && typeof password === "string") logins.set(pattern, { username, password });
  }
  return { cacheKey: cacheKeyType as ProviderCacheKey, cacheMs, logins };
}

function durationOf(value: unknown): number {
  const durationMs = typeof value === "string" ? parseGoDuration(value) : undefined;
  if (durationMs === undefined) throw new ProgramFault("answered with a cacheDuration that is none");
  return Math.max(0, durationMs);
}
