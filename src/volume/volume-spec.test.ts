import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DriverError } from "../base/index.ts";
import { type PodInfo, parsePodInfo, parseVolumeSpec, specIdentity } from "./volume-spec.ts";

type Attributes = Record<string, string>;

const REFERENCE = "oras.artifact.reference";
const HEX = "a".repeat(64);

/** Attributes with a reference; the names of `more` are written without their `oras.`. */
function attributes(more: Attributes = {}): Attributes {
  const prefixed = Object.entries(more).map(([name, value]) => [`oras.${name}`, value]);
  return { [REFERENCE]: "ghcr.io/org/thing:v1", ...Object.fromEntries(prefixed) };
}

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof DriverError, String(error));
    assert.equal(error.kind, "bad-input");
    return error.message;
  }
  throw new assert.AssertionError({ message: "nothing was refused" });
}

test("what attributes leave out has the contract's defaults", () => {
  const { reference, ...rest } = parseVolumeSpec(attributes());
  const { registry, repository, tag, digest } = reference;
  assert.deepEqual(
    { registry, repository, tag, digest },
    {
      registry: "ghcr.io",
      repository: "org/thing",
      tag: "v1",
      digest: undefined,
    },
  );
  assert.deepEqual(rest, {
    selection: { mediaTypes: [], titles: [] },
    platform: undefined,
    transport: "https",
    concurrency: undefined,
    policy: "IfNotPresent",
    keepMs: undefined,
  });
});

describe("one attribute", () => {
  const rows: readonly { name: string; more: Attributes; is: Partial<ReturnType<typeof parseVolumeSpec>> }[] = [
    {
      name: "lists are trimmed and empty parts dropped",
      more: { "artifact.layers.mediatype": " a/b , c/d,, ", "artifact.layers.title": "x/**,y" },
      is: { selection: { mediaTypes: ["a/b", "c/d"], titles: ["x/**", "y"] } },
    },
    { name: "cleanup may be retain", more: { "options.cleanup": "retain" }, is: { keepMs: undefined } },
    { name: "cleanup may be delete", more: { "options.cleanup": " delete " }, is: { keepMs: 0 } },
    { name: "cleanup may be a duration", more: { "options.cleanup": "1h30m" }, is: { keepMs: 5_400_000 } },
    {
      name: "a list of blanks is all",
      more: { "artifact.layers.title": " , " },
      is: { selection: { mediaTypes: [], titles: [] } },
    },
    {
      name: "platform",
      more: { "artifact.platform": "linux/arm/v7" },
      is: { platform: { os: "linux", architecture: "arm", variant: "v7" } },
    },
    { name: "an empty platform is none", more: { "artifact.platform": "" }, is: { platform: undefined } },
    { name: "plainhttp", more: { "options.plainhttp": "1" }, is: { transport: "http" } },
    { name: "insecure", more: { "options.insecure": "T" }, is: { transport: "insecure" } },
    {
      name: "plainhttp wins over insecure",
      more: { "options.insecure": "true", "options.plainhttp": "TRUE" },
      is: { transport: "http" },
    },
    {
      name: "false is false in all of Go's forms",
      more: { "options.plainhttp": "F", "options.insecure": "0" },
      is: { transport: "https" },
    },
    { name: "concurrency", more: { "options.concurrency": "64" }, is: { concurrency: 64 } },
    { name: "policy in any case", more: { "options.pullpolicy": "aLWAYS" }, is: { policy: "Always" } },
    { name: "policy Never", more: { "options.pullpolicy": "never" }, is: { policy: "Never" } },
    { name: "pullalways", more: { "options.pullalways": "true" }, is: { policy: "Always" } },
    {
      name: "pullalways with the policy that it means",
      more: { "options.pullalways": "true", "options.pullpolicy": "Always" },
      is: { policy: "Always" },
    },
    {
      name: "pullalways false says nothing",
      more: { "options.pullalways": "false", "options.pullpolicy": "Never" },
      is: { policy: "Never" },
    },
  ];
  for (const { name, more, is } of rows) {
    test(name, () => {
      const spec = parseVolumeSpec(attributes(more));
      for (const [key, value] of Object.entries(is)) assert.deepEqual(spec[key as keyof typeof spec], value);
    });
  }
});

describe("refused", () => {
  const rows: readonly { name: string; given: Attributes; says: readonly RegExp[] }[] = [
    { name: "no reference", given: {}, says: [/oras\.artifact\.reference is missing/] },
    { name: "a blank reference", given: { [REFERENCE]: "  " }, says: [/oras\.artifact\.reference is missing/] },
    { name: "capitals", given: { [REFERENCE]: "ghcr.io/Org/x" }, says: [/write "org\/x"/] },
    {
      name: "a digest of no known algorithm",
      given: { [REFERENCE]: "ghcr.io/o/x@md5:00" },
      says: [/sha256 and sha512/],
    },
    {
      name: "an unknown key",
      given: attributes({ "option.plainhttp": "true" }),
      says: [/"oras\.option\.plainhttp", is oras\.options\.plainhttp meant\?/],
    },
    {
      name: "a boolean",
      given: attributes({ "options.insecure": "yes" }),
      says: [/oras\.options\.insecure is "yes", it must be "true" or "false"/],
    },
    {
      name: "an empty boolean",
      given: attributes({ "options.insecure": "" }),
      says: [/oras\.options\.insecure is ""/],
    },
    ...["0", "65", "-1", "1.5", "4x", "1e1"].map((count) => ({
      name: `concurrency ${count}`,
      given: attributes({ "options.concurrency": count }),
      says: [/oras\.options\.concurrency is ".*", it must be 1 to 64/],
    })),
    {
      name: "a policy",
      given: attributes({ "options.pullpolicy": "Sometimes" }),
      says: [/pullpolicy is "Sometimes", it must be Always, IfNotPresent or Never/],
    },
    {
      name: "a policy that every object has",
      given: attributes({ "options.pullpolicy": "constructor" }),
      says: [/pullpolicy is "constructor", it must be/],
    },
    { name: "a platform", given: attributes({ "artifact.platform": "arm64" }), says: [/platform "arm64"/] },
    {
      name: "pullalways against the policy",
      given: attributes({ "options.pullalways": "true", "options.pullpolicy": "never" }),
      says: [/pullalways contradicts oras\.options\.pullpolicy Never/],
    },
    {
      name: "everything at once",
      given: {
        "oras.nonsense": "x",
        "oras.options.plainhttp": "maybe",
        "oras.options.concurrency": "many",
        "oras.options.pullpolicy": "x",
        "oras.options.pullalways": "y",
        "oras.artifact.platform": "x",
      },
      says: [/nonsense/, /plainhttp/, /concurrency/, /pullpolicy/, /pullalways/, /platform/, /reference is missing/],
    },
  ];
  for (const { name, given, says } of rows) {
    test(name, () => {
      const message = refusal(() => parseVolumeSpec(given));
      for (const pattern of says) assert.match(message, pattern);
    });
  }

  test("keys of others are ignored", () => {
    parseVolumeSpec({ ...attributes(), "csi.storage.k8s.io/pod.name": "x", other: "y", ORAS: "z", oras: "z" });
  });

  test("values that may be secrets are not shown in full", () => {
    const message = refusal(() => parseVolumeSpec(attributes({ "options.insecure": `${"s".repeat(40)}secret` })));
    assert.doesNotMatch(message, /secret/);
  });
});

describe("sameness", () => {
  const same: readonly { name: string; one: Attributes; other: Attributes }[] = [
    {
      name: "prefix and host case",
      one: { [REFERENCE]: "oras://GHCR.io/org/x" },
      other: { [REFERENCE]: "ghcr.io/org/x:latest" },
    },
    {
      name: "docker hub's short form",
      one: { [REFERENCE]: "busybox" },
      other: { [REFERENCE]: "index.docker.io/library/busybox:latest" },
    },
    {
      name: "a tag beside a digest",
      one: { [REFERENCE]: `a.io/x:v1@sha256:${HEX}` },
      other: { [REFERENCE]: `a.io/x@sha256:${HEX}` },
    },
    {
      name: "order and repetition of filters",
      one: attributes({ "artifact.layers.title": "b,a,b" }),
      other: attributes({ "artifact.layers.title": " a , b" }),
    },
    {
      name: "booleans",
      one: attributes({ "options.insecure": "1" }),
      other: attributes({ "options.insecure": "true" }),
    },
    {
      name: "the default, said",
      one: attributes(),
      other: attributes({ "options.pullpolicy": "ifnotpresent", "options.plainhttp": "false" }),
    },
    {
      name: "pullalways",
      one: attributes({ "options.pullalways": "t" }),
      other: attributes({ "options.pullpolicy": "always" }),
    },
    { name: "concurrency", one: attributes({ "options.concurrency": "1" }), other: attributes() },
    {
      name: "arm64's variant",
      one: attributes({ "artifact.platform": "linux/arm64" }),
      other: attributes({ "artifact.platform": "Linux/ARM64/v8" }),
    },
    { name: "pod info", one: attributes(), other: { ...attributes(), "csi.storage.k8s.io/pod.name": "x" } },
  ];
  for (const { name, one, other } of same) {
    test(`the same: ${name}`, () => {
      assert.equal(specIdentity(parseVolumeSpec(one), true), specIdentity(parseVolumeSpec(other), true));
    });
  }
  const different: readonly { name: string; one: Attributes; other: Attributes }[] = [
    { name: "tag", one: { [REFERENCE]: "a.io/x:v1" }, other: { [REFERENCE]: "a.io/x:v2" } },
    { name: "filter", one: attributes({ "artifact.layers.title": "a" }), other: attributes() },
    {
      name: "kind of filter",
      one: attributes({ "artifact.layers.title": "a" }),
      other: attributes({ "artifact.layers.mediatype": "a" }),
    },
    { name: "transport", one: attributes({ "options.insecure": "true" }), other: attributes() },
    { name: "policy", one: attributes({ "options.pullpolicy": "Never" }), other: attributes() },
    { name: "platform", one: attributes({ "artifact.platform": "linux/amd64" }), other: attributes() },
    {
      name: "arm's variants",
      one: attributes({ "artifact.platform": "linux/arm" }),
      other: attributes({ "artifact.platform": "linux/arm/v7" }),
    },
  ];
  for (const { name, one, other } of different) {
    test(`not the same: ${name}`, () => {
      assert.notEqual(specIdentity(parseVolumeSpec(one), true), specIdentity(parseVolumeSpec(other), true));
    });
  }
  test("not the same: read-only or not", () => {
    const spec = parseVolumeSpec(attributes());
    assert.notEqual(specIdentity(spec, true), specIdentity(spec, false));
  });
});

describe("pod info", () => {
  const prefix = "csi.storage.k8s.io";
  const target = "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/data/mount";
  const rows: readonly {
    name: string;
    given: Attributes;
    target?: string;
    is: PodInfo | RegExp;
  }[] = [
    { name: "none", given: {}, is: { namespace: "_", name: undefined, persistent: false } },
    {
      name: "all",
      given: {
        [`${prefix}/pod.namespace`]: "prod",
        [`${prefix}/pod.uid`]: "uid-1",
        [`${prefix}/pod.name`]: "web-0.a",
      },
      is: { namespace: "prod", name: "web-0.a", persistent: false },
    },
    {
      name: "inline",
      given: { [`${prefix}/ephemeral`]: "true" },
      is: { namespace: "_", name: undefined, persistent: false },
    },
    {
      name: "a pod's name that is none",
      given: { [`${prefix}/pod.name`]: "../x" },
      is: { namespace: "_", name: undefined, persistent: false },
    },
    {
      name: "a PersistentVolume",
      given: { [`${prefix}/ephemeral`]: "false" },
      is: { namespace: "_", name: undefined, persistent: true },
    },
    {
      name: "another pod's uid",
      given: { [`${prefix}/pod.uid`]: "uid-2" },
      is: /pod\.uid "uid-2" is not the pod of the target/,
    },
    {
      name: "a namespace without a uid",
      given: { [`${prefix}/pod.namespace`]: "prod" },
      is: /pod\.uid "" is not the pod/,
    },
    {
      name: "a target of another form has no uid to compare",
      given: { [`${prefix}/pod.namespace`]: "prod", [`${prefix}/pod.uid`]: "uid-2" },
      target: "/tmp/target",
      is: { namespace: "prod", name: undefined, persistent: false },
    },
    ...["a/b", "..", "A", "-a", "a-", "a.b", "x".repeat(64)].map((namespace) => ({
      name: `namespace ${namespace}`,
      given: { [`${prefix}/pod.namespace`]: namespace, [`${prefix}/pod.uid`]: "uid-1" },
      is: /is no namespace's name/,
    })),
  ];
  for (const row of rows) {
    test(row.name, () => {
      const read = () => parsePodInfo(row.given, row.target ?? target);
      if (row.is instanceof RegExp) assert.match(refusal(read), row.is);
      else assert.deepEqual(read(), row.is);
    });
  }
});
