import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { failsAs, podSecret, useClient } from "../../test/registry-client/index.ts";
import {
  artifact,
  createCertificates,
  DOCKER_REGISTRY_USER,
  DockerRegistry,
  fileLayer,
  push,
} from "../../test/registry/index.ts";
import { parseManifest } from "../oci/index.ts";
import { anonymous, BlobProgress, type Credential, type Transport } from "./index.ts";

const skip = DockerRegistry.whyNot() ?? false;
const user: Credential = { kind: "password", ...DOCKER_REGISTRY_USER, source: "the pod's secret", owner: "pod" };

for (const transport of ["http", "https"] satisfies Transport[]) {
  test(`an artifact from Debian's docker-registry over ${transport}`, { skip }, async () => {
    const tls = await createCertificates();
    await using registry = await DockerRegistry.start({ basicAuth: true, ...(transport === "https" ? { tls } : {}) });
    const content = randomBytes(3_000_000);
    const built = artifact([fileLayer("model.bin", content)]);
    await push({ url: registry.url, ca: tls.ca, ...DOCKER_REGISTRY_USER }, "team/model", built, "v1");
    await using bench = await useClient(() => ({}), { caCertificates: [tls.ca] });
    const repository = { registry: registry.host, repository: "team/model", transport };

    const query = { repository, tagOrDigest: "v1", credentials: [podSecret, user, anonymous] };
    const found = await bench.client.fetchManifest(query);
    assert.equal(found.digest, built.digest);
    assert.equal(found.credential, user);
    assert.equal((await bench.client.headManifest(query))?.digest, built.digest);
    await assert.rejects(
      bench.client.fetchManifest({ ...query, tagOrDigest: "v2", credentials: [user] }),
      failsAs("not-found", /404 Not Found \(MANIFEST_UNKNOWN: manifest unknown\)/),
    );
    await assert.rejects(
      bench.client.fetchManifest({ ...query, credentials: [podSecret, anonymous] }),
      failsAs("unauthenticated", /\(UNAUTHORIZED: authentication required\); tried: the pod's secret, anonymous;/),
    );

    const manifest = parseManifest(found.bytes, found.contentType);
    const descriptor = manifest.kind === "manifest" ? manifest.layers[0] : undefined;
    assert.ok(descriptor !== undefined);
    const got = [content.subarray(0, 1000)];
    const sink = {
      write: (chunk: Buffer) => void got.push(Buffer.from(chunk)),
      restart: () => assert.fail("restarted"),
      read: (into: Buffer, offset: number) => Promise.resolve(content.copy(into, 0, offset)),
    };
    const progress = new BlobProgress(descriptor, [{ start: 0, end: 1000 }]);
    await bench.client.fetchBlob({ repository, descriptor, credential: user, sink, progress });
    assert.ok(Buffer.concat(got).equals(content));
  });
}
