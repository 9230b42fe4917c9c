import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Flavour, runProgram, whyNoFlavour } from "../driver/index.ts";
import { helperAnswer, Programs } from "../helpers/programs.ts";
import { useTempFolder } from "../helpers/temp-folder.ts";
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

test("inspect asks the credential helper that the usual config.json names", { skip: whyNoFlavour() }, async (t) => {
  const users = { me: { password: "s3cret" } };
  await using registry = await EmbeddedRegistry.start({ auth: { kind: "basic", users } });
  const manifest = artifact([fileLayer("a", "1")]);
  await push({ url: registry.url, username: "me", password: "s3cret" }, "team/thing", manifest, "v1");
  const folder = useTempFolder(t);
  const programs = new Programs(join(folder, "bin"));
  programs.write("docker-credential-mine", helperAnswer("me", "s3cret"));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ credsStore: "mine" }));
  const env = { PATH: `${programs.folder}:${process.env.PATH}`, DOCKER_CONFIG: folder };
  const asked = ["inspect", "--plain-http", `${registry.host}/team/thing:v1`];
  const { code, error } = await runProgram(asked, { env });
  assert.deepEqual([code, error], [0, ""]);
  assert.equal(programs.runs("docker-credential-mine").length, 1);

  programs.write("docker-credential-mine", "echo broken >&2; exit 1");
  const refused = await runProgram(asked, { env });
  assert.equal(refused.code, 1);
  assert.match(refused.error, /^oras-csi: .*tried: .*docker-credential-mine[^\n]*\n$/);
});
