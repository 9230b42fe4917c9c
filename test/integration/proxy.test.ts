import assert from "node:assert/strict";
import { test } from "node:test";
import { CsiError, Sandbox } from "../driver/index.ts";
import { ProxyServer } from "../registry-client/index.ts";
import { artifact, createCertificates, EmbeddedRegistry, fileLayer, push } from "../registry/index.ts";
import { attributes, REAL, rejectsWith, textFiles } from "./support.ts";

const thing = artifact([fileLayer("a", "a\n"), fileLayer("b", "b\n".repeat(500_000))]);

for (const scheme of ["http", "https"] as const) {
  test(`a registry that only the proxy of the environment reaches, over ${scheme}`, REAL, async () => {
    const tls = await createCertificates();
    await using registry = await EmbeddedRegistry.start(scheme === "https" ? { tls } : {});
    await push({ url: registry.url, ca: tls.ca }, "team/thing", thing, "v1");
    const port = Number(registry.host.split(":")[1]);
    await using proxy = await ProxyServer.start({ port, login: "robot:password" });
    const env = { [`${scheme}_proxy`]: `http://robot:password@${proxy.host}`, NO_PROXY: "other.test" };
    await using sandbox = await Sandbox.start({ env });
    const attributesFor = (reference: string) =>
      attributes(reference, scheme === "http" ? {} : { "options.plainhttp": "false", "options.insecure": "true" });
    const volume = sandbox.kubelet.volume({ attributes: attributesFor("registry.test/team/thing:v1") });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), { a: "a\n", b: "b\n".repeat(500_000) });
    assert.ok(proxy.seen.length > 0);
    const wayIn = scheme === "http" ? /^GET http:\/\/registry\.test\/v2\// : /^CONNECT registry\.test:443 /;
    for (const line of proxy.seen) assert.match(line, wayIn);
    // Loopback hosts and those of NO_PROXY are asked directly.
    const asked = proxy.seen.length;
    await sandbox.kubelet.volume({ attributes: attributesFor(`${registry.host}/team/thing:v1`) }).publish();
    const left = sandbox.kubelet.volume({ attributes: attributesFor("other.test/team/thing:v1") });
    await rejectsWith(
      toTheEnd(() => left.publish({ timeoutMs: 5_000 })),
      "UNAVAILABLE",
      /other\.test/,
    );
    assert.equal(proxy.seen.length, asked);
  });
}

/** Calls again while the answer is that it goes on, as kubelet does: a name server may take longer than a call. */
async function toTheEnd(publish: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await publish();
    } catch (reason) {
      if (!(reason instanceof CsiError) || reason.code !== "ABORTED") throw reason;
    }
  }
}
