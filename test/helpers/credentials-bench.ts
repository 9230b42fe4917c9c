import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { CredentialOffer, DeferredCredential } from "../../src/registry/credential.ts";
import { NodeCredentials } from "../../src/registry/credentials/node-credentials.ts";
import { ManualClock } from "../registry-client/index.ts";
import { useLog } from "./log-lines.ts";
import { Programs } from "./programs.ts";
import { useTempFolder } from "./temp-folder.ts";

/** The credentials of a node whose helpers and plugins are programs of the test's. */
export function useCredentials(t: TestContext) {
  const folder = useTempFolder(t);
  const programs = new Programs(join(folder, "bin"));
  const path = process.env["PATH"];
  process.env["PATH"] = `${programs.folder}:${path}`;
  t.after(() => {
    process.env["PATH"] = path;
  });
  const [dockerConfig, config] = [join(folder, "config.json"), join(folder, "providers.yaml")];
  const { log, lines } = useLog();
  const clock = new ManualClock();
  const providers = { config, binDir: programs.folder };
  const credentials = new NodeCredentials({ dockerConfig, providers, clock, log });
  writeFileSync(dockerConfig, "{}");
  const configure = (changes: object[]) => {
    const whole = changes.map((change) => ({
      name: "plugin",
      matchImages: ["r.example"],
      defaultCacheDuration: "1h",
      apiVersion: "credentialprovider.kubelet.k8s.io/v1",
      ...change,
    }));
    const kind = { apiVersion: "kubelet.config.k8s.io/v1", kind: "CredentialProviderConfig" };
    writeFileSync(config, JSON.stringify({ ...kind, providers: whole }));
  };
  configure([]);
  const unveil = async (offer: CredentialOffer | undefined, isFresh = false) => {
    assert.equal(offer?.kind, "deferred");
    const found = await credentials.unveil(offer as DeferredCredential, isFresh);
    const shown = found.credentials.map((one) =>
      one.kind === "password" ? `${one.username}:${one.password}` : one.kind,
    );
    return { ...found, credentials: shown };
  };
  return {
    programs,
    clock,
    lines,
    credentials,
    configure,
    unveil,
    docker: (value: object) => writeFileSync(dockerConfig, JSON.stringify(value)),
    /** Asks the first helper for a registry. */
    async helper(registry = "r.example", isFresh = false) {
      const offers = await credentials.fromDockerConfig(registry, "org/app");
      return unveil(
        offers.find(({ kind }) => kind === "deferred"),
        isFresh,
      );
    },
    async provider(image = "r.example/org/app", isFresh = false) {
      const slash = image.indexOf("/");
      const [offer] = await credentials.fromProviders(image.slice(0, slash), image.slice(slash + 1));
      return unveil(offer, isFresh);
    },
    warnings: () => lines.filter(({ level }) => level === "warn"),
  };
}
