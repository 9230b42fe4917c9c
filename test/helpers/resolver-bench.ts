import { createMemory, DriverError } from "../../src/base/index.ts";
import { type Digest, digestOf, parsePlatform, parseReference } from "../../src/oci/index.ts";
import { anonymous, type FetchedManifest } from "../../src/registry/index.ts";
import { type ManifestSource, type ResolveRequest, Resolver } from "../../src/artifact/resolver.ts";
import type { ManifestRequest } from "../../src/artifact/worker-calls.ts";
import { artifact, type BuiltManifest, fileLayer } from "../registry/index.ts";
import { useCache } from "./cache-area.ts";

/** What `v1` is at first, and another artifact. */
export const one = artifact([fileLayer("a", "1")]);
export const two = artifact([fileLayer("a", "2")]);

/** A registry with one repository: manifests by tag and digest, and what it was asked. */
class ScriptedSource implements ManifestSource {
  readonly manifests = new Map<string, BuiltManifest>();
  readonly asked: string[] = [];
  failure: DriverError | undefined;
  /** What HEAD says in place of the truth. */
  claim: ((digest: Digest) => Digest | undefined) | undefined;

  put(tag: string, manifest: BuiltManifest): void {
    this.manifests.set(tag, manifest);
    this.manifests.set(manifest.digest, manifest);
    for (const child of manifest.children) this.put(child.digest, child);
  }

  async fetchManifest({ tagOrDigest }: ManifestRequest): Promise<FetchedManifest> {
    this.asked.push(`GET ${tagOrDigest}`);
    if (this.failure !== undefined) throw this.failure;
    const found = this.manifests.get(tagOrDigest);
    if (found === undefined) throw new DriverError("not-found", `no ${tagOrDigest}`);
    const { bytes, mediaType } = found;
    return { bytes, contentType: mediaType, digest: digestOf(bytes), credential: anonymous };
  }

  headManifest({ tagOrDigest }: ManifestRequest): Promise<Digest | undefined> {
    this.asked.push(`HEAD ${tagOrDigest}`);
    const found = this.failure === undefined ? this.manifests.get(tagOrDigest) : undefined;
    if (found === undefined) return Promise.resolve(undefined);
    const digest = digestOf(found.bytes);
    return Promise.resolve(this.claim === undefined ? digest : this.claim(digest));
  }
}

/** A resolver with an empty cache and such a registry, and what asks it for `a.io/team/thing:v1`. */
export async function useResolver({ enforceNamespaces = true } = {}) {
  const area = await useCache();
  const source = new ScriptedSource();
  source.put("v1", one);
  const memory = createMemory({ trimMemory: () => Promise.resolve() });
  /** A resolver as a restarted driver has it. */
  const restarted = () => new Resolver({ cache: area.cache, source: new ScriptedSource(), enforceNamespaces, memory });
  const resolver = new Resolver({ cache: area.cache, source, enforceNamespaces, memory });
  const request = (changes: Partial<ResolveRequest> & { readonly text?: string } = {}): ResolveRequest => {
    const { text = "a.io/team/thing:v1", ...rest } = changes;
    const reference = parseReference(text);
    const { registry, repository } = reference;
    return {
      reference,
      repository: { registry, repository, transport: "https" },
      namespace: "blue",
      policy: "IfNotPresent",
      platform: parsePlatform("linux/amd64"),
      credentials: [anonymous],
      caCertificates: [],
      ...rest,
    };
  };
  const resolve = async (changes?: Parameters<typeof request>[0]) => (await resolver.resolve(request(changes))).digest;
  /** What was asked since the last time. */
  const asked = () => source.asked.splice(0);
  const dispose = () => area[Symbol.asyncDispose]();
  return { area, source, restarted, request, resolve, asked, [Symbol.asyncDispose]: dispose };
}
