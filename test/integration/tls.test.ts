import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import {
  artifact,
  type Certificates,
  createCertificates,
  DockerRegistry,
  EmbeddedRegistry,
  fileLayer,
  push,
} from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith, textFiles } from "./support.ts";

const withoutOpenssl = spawnSync("openssl", ["version"]).error === undefined ? false : "openssl is not installed";
const thing = artifact([fileLayer("a", "a\n")]);
/** Short of the retries' own limit, so that a hopeless host is reported at the deadline. */
const PATIENCE = { timeoutMs: 6_000 };

describe("registries with TLS", { skip: REAL.skip || withoutOpenssl }, () => {
  let tls: Certificates;
  before(async () => {
    tls = await createCertificates();
  });

  function https(reference: string, more: Record<string, string> = {}): Record<string, string> {
    return attributes(reference, { "options.plainhttp": "false", ...more });
  }

  async function startTls(): Promise<{ host: string; close(): Promise<void>; [Symbol.asyncDispose](): Promise<void> }> {
    const debian = DockerRegistry.whyNot() === undefined;
    const registry = debian ? await DockerRegistry.start({ tls }) : await EmbeddedRegistry.start({ tls });
    await push({ url: registry.url, ca: tls.ca }, "team/thing", thing, "v1");
    return registry;
  }

  test("a certificate of --ca-file's authority is trusted", async () => {
    await using registry = await startTls();
    await using sandbox = await Sandbox.create();
    const file = join(sandbox.folder, "ca.pem");
    await writeFile(file, tls.ca);
    await sandbox.startDriver([`--ca-file=${file}`]);
    const volume = sandbox.kubelet.volume({ attributes: https(`${registry.host}/team/thing:v1`) });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), { a: "a\n" });
  });

  test("an unknown authority is UNAVAILABLE and the message says so; insecure accepts it", async () => {
    await using registry = await startTls();
    await using sandbox = await Sandbox.start();
    const reference = `${registry.host}/team/thing:v1`;
    const strict = sandbox.kubelet.volume({ attributes: https(reference) });
    await rejectsWith(strict.publish(PATIENCE), "UNAVAILABLE", /certificate/);
    const lax = sandbox.kubelet.volume({ attributes: https(reference, { "options.insecure": "true" }) });
    await lax.publish();
    assert.deepEqual(await textFiles(lax.targetPath), { a: "a\n" });
    // What was learned without verifying the certificate counts for no volume that asks for it.
    const strictAgain = sandbox.kubelet.volume({ attributes: https(reference) });
    await rejectsWith(strictAgain.publish(PATIENCE), "UNAVAILABLE", /certificate/);
  });

  test("http spoken to https and the other way round are errors that say what to change", async () => {
    await using secure = await startTls();
    await using plain = await EmbeddedRegistry.start();
    const reference = await pushThing(plain, thing);
    await using sandbox = await Sandbox.start();
    const wrongWay = sandbox.kubelet.volume({ attributes: https(reference) });
    await rejectsWith(wrongWay.publish(PATIENCE), "UNAVAILABLE", /plainhttp/);
    const otherWay = sandbox.kubelet.volume({ attributes: attributes(`${secure.host}/team/thing:v1`) });
    await assert.rejects(otherWay.publish(PATIENCE));
    assert.deepEqual(sandbox.mounts(), []);
  });
});

test("a registry that nobody serves is UNAVAILABLE and leaves nothing", REAL, async () => {
  await using gone = await EmbeddedRegistry.start();
  const reference = `${gone.host}/team/thing:v1`;
  await gone.close();
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await rejectsWith(volume.publish(PATIENCE), "UNAVAILABLE", /refused/);
  await volume.unpublish();
  await assertNothingLeft(sandbox);
});
