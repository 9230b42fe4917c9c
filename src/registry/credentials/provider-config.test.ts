import assert from "node:assert/strict";
import { test } from "node:test";
import { failsAs } from "../../../test/registry-client/index.ts";
import { parseProviderConfig } from "./provider-config.ts";

const config = `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    matchImages: ["*.dkr.ecr.*.amazonaws.com"]
    defaultCacheDuration: "12h"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args: [get-credentials]
    env:
      - name: AWS_PROFILE
        value: example
  - name: other
    matchImages: [r.example]
    defaultCacheDuration: 0s
    apiVersion: credentialprovider.kubelet.k8s.io/v1beta1
    tokenAttributes:
      serviceAccountTokenAudience: x
`;

test("a config as the cloud's documentation shows it", () => {
  const [first, second, ...more] = parseProviderConfig(config, "the file");
  assert.deepEqual(more, []);
  assert.deepEqual(first, {
    name: "ecr-credential-provider",
    matchImages: ["*.dkr.ecr.*.amazonaws.com"],
    defaultCacheMs: 12 * 3_600_000,
    apiVersion: "credentialprovider.kubelet.k8s.io/v1",
    args: ["get-credentials"],
    env: { AWS_PROFILE: "example" },
    wantsToken: false,
  });
  assert.deepEqual([second?.name, second?.defaultCacheMs, second?.wantsToken], ["other", 0, true]);
});

test("JSON is YAML, too", () => {
  const provider = {
    name: "a",
    matchImages: ["b"],
    defaultCacheDuration: "1m",
    apiVersion: "credentialprovider.kubelet.k8s.io/v1",
  };
  const text = JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "CredentialProviderConfig",
    providers: [provider],
  });
  assert.equal(parseProviderConfig(text, "x")[0]?.name, "a");
});

const broken: { name: string; change: (text: string) => string; says: RegExp }[] = [
  { name: "no YAML", change: () => "a: [SECRET", says: /neither YAML nor JSON/ },
  {
    name: "another kind",
    change: (text) => text.replace("CredentialProviderConfig", "SECRET"),
    says: /its kind is another/,
  },
  {
    name: "another version",
    change: (text) => text.replace("k8s.io/v1\n", "k8s.io/v9\n"),
    says: /apiVersion is none of/,
  },
  { name: "no providers", change: (text) => text.slice(0, text.indexOf("providers:")), says: /no list of providers/ },
  {
    name: "a path as a name",
    change: (text) => text.replace("name: other", "name: ../SECRET"),
    says: /provider 2: its name is no file name/,
  },
  {
    name: "a name twice",
    change: (text) => text.replace("name: other", "name: ecr-credential-provider"),
    says: /provider 2: its name is taken/,
  },
  { name: "no patterns", change: (text) => text.replace("[r.example]", "[]"), says: /matchImages must be/ },
  {
    name: "no duration",
    change: (text) => text.replace('"12h"', "12"),
    says: /provider 1: defaultCacheDuration must be/,
  },
  { name: "a negative one", change: (text) => text.replace('"12h"', "-12h"), says: /defaultCacheDuration must be/ },
  {
    name: "another protocol",
    change: (text) => text.replace("k8s.io/v1beta1", "k8s.io/v9"),
    says: /provider 2: apiVersion must be one of/,
  },
  { name: "args that are none", change: (text) => text.replace("[get-credentials]", "SECRET"), says: /args must be/ },
  {
    name: "env that is none",
    change: (text) => text.replace("value: example", "value: [SECRET]"),
    says: /env must be/,
  },
];
for (const { name, change, says } of broken) {
  test(`${name} is told without a value`, () => {
    const text = change(config);
    assert.notEqual(text, config);
    assert.throws(
      () => parseProviderConfig(text, "the file"),
      failsAs("bad-input", /^the file is no/, says, /^((?!SECRET).)*$/),
    );
  });
}
