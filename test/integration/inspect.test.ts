import assert from "node:assert/strict";
import { test } from "node:test";
import { type Flavour, runProgram, whyNoFlavour } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, push } from "../registry/index.ts";

const FLAVOURS: readonly Flavour[] = ["executable", "node", "deno"];

for (const flavour of FLAVOURS) {
  test(`inspect as ${flavour} needs no driver: a password on standard input, JSON out`, {
    skip: whyNoFlavour(flavour),
  }, async () => {
    const users = { me: { password: "s3cret" } };
    await using registry = await EmbeddedRegistry.start({ auth: { kind: "bearer", users } });
    const manifest = artifact([fileLayer("a", "1")]);
    await push({ url: registry.url, username: "me", password: "s3cret" }, "team/thing", manifest, "v1");
    const reference = `${registry.host}/team/thing:v1`;
    const asked = ["inspect", "--plain-http", "-u", "me", "--password-stdin", "--json", reference];
    const { code, output, error } = await runProgram(asked, { input: "s3cret\n", flavour });
    assert.deepEqual([code, error], [0, ""]);
    assert.equal(JSON.parse(output).manifest.digest, manifest.digest);

    const refused = await runProgram(["inspect", "--plain-http", reference], { flavour });
    assert.deepEqual([refused.code, refused.output], [1, ""]);
    assert.match(refused.error, /^oras-csi: cannot fetch the manifest of [^\n]*\n$/);
    const wrong = await runProgram(["inspect"], { flavour });
    assert.deepEqual([wrong.code, wrong.output], [2, ""]);
    assert.match(wrong.error, /^oras-csi: no REFERENCE is given[^\n]*\n$/);
  });
}
