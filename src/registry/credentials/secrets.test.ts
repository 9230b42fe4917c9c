import assert from "node:assert/strict";
import { test } from "node:test";
import { failsAs } from "../../../test/registry-client/index.ts";
import { credentialsFromSecrets } from "./secrets.ts";

const config = JSON.stringify({ auths: { "r.example": { auth: btoa("a:b") } } });
const older = JSON.stringify({ "r.example": { auth: btoa("c:d") } });

const namesOf = (secrets: Record<string, string>, registry = "r.example") =>
  credentialsFromSecrets(secrets, registry, "org/app").map((one) => {
    assert.equal(one.source, "the pod's secret");
    return one.kind === "password" ? `${one.owner} ${one.username}:${one.password}` : one.kind;
  });

test("all forms, in order", () => {
  const secrets = { username: "u", password: "p", ".dockercfg": older, ".dockerconfigjson": config };
  assert.deepEqual(namesOf(secrets), ["pod a:b", "pod c:d", "pod u:p"]);
});

test("other keys are left alone, as are entries of other registries", () => {
  assert.deepEqual(namesOf({ "csi.storage.k8s.io/serviceAccount.tokens": "{}", token: "x" }), []);
  assert.deepEqual(namesOf({ ".dockerconfigjson": config }, "other.example"), []);
  assert.deepEqual(namesOf({}), []);
});

test("a password may be empty, a username not", () => {
  assert.deepEqual(namesOf({ username: "u", password: "" }), ["pod u:"]);
});

const malformed: { secrets: Record<string, string>; says: RegExp }[] = [
  { secrets: { username: "u" }, says: /a username but no password/ },
  { secrets: { password: "SECRET" }, says: /a password but no username/ },
  { secrets: { username: "", password: "SECRET" }, says: /no username/ },
  { secrets: { ".dockerconfigjson": "{SECRET" }, says: /key \.dockerconfigjson, is no docker config/ },
  { secrets: { ".dockercfg": "[]" }, says: /key \.dockercfg, is no docker config/ },
];
for (const { secrets, says } of malformed) {
  test(`malformed: ${JSON.stringify(Object.keys(secrets))} ${says}`, () => {
    assert.throws(() => namesOf(secrets), failsAs("bad-input", /^the pod's secret/, says, /^((?!SECRET).)*$/));
  });
}
