import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DriverError } from "../base/index.ts";
import { volumeKeyOf } from "./records.ts";
import type { PublishRequest } from "./volume-service.ts";
import { parseWantedVolume } from "./wanted-volume.ts";

const TARGET = "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/data/mount";

function request(changes: Partial<PublishRequest> = {}): PublishRequest {
  return {
    fieldProblems: [],
    volumeId: "csi-1",
    targetPath: TARGET,
    readOnly: false,
    mountFlags: [],
    mountGroup: "",
    volumeContext: { "oras.artifact.reference": "ghcr.io/org/thing:v1" },
    secrets: {},
    deadlineMs: 0,
    timeoutMs: 0,
    signal: new AbortController().signal,
    ...changes,
  };
}

test("a plain request is a writable volume of the nameless namespace", () => {
  const wanted = parseWantedVolume(request());
  assert.equal(wanted.key, volumeKeyOf("csi-1", TARGET));
  assert.equal(wanted.readOnly, false);
  assert.equal(wanted.pod.namespace, "_");
  assert.equal(wanted.mountGroup, "");
});

const readOnlyRows: readonly { name: string; changes: Partial<PublishRequest>; readOnly: boolean }[] = [
  { name: "readonly", changes: { readOnly: true }, readOnly: true },
  { name: "the mount flag ro", changes: { mountFlags: ["noexec", "ro"] }, readOnly: true },
  { name: "the mount flag rw does not undo readonly", changes: { readOnly: true, mountFlags: ["rw"] }, readOnly: true },
  {
    name: "a PersistentVolume",
    changes: { volumeContext: { ...request().volumeContext, "csi.storage.k8s.io/ephemeral": "false" } },
    readOnly: true,
  },
  { name: "other flags", changes: { mountFlags: ["noatime"] }, readOnly: false },
];
describe("read-only", () => {
  for (const { name, changes, readOnly } of readOnlyRows) {
    test(name, () => {
      const wanted = parseWantedVolume(request(changes));
      assert.equal(wanted.readOnly, readOnly);
      assert.equal(JSON.parse(wanted.identity).readOnly, readOnly);
    });
  }
});

test("one volume id at two targets is two volumes", () => {
  const other = TARGET.replace("uid-1", "uid-2");
  assert.notEqual(parseWantedVolume(request()).key, parseWantedVolume(request({ targetPath: other })).key);
});

describe("groups", () => {
  for (const group of ["", "0", "4321", "4294967294"]) {
    test(`"${group}" is one`, () => assert.equal(parseWantedVolume(request({ mountGroup: group })).mountGroup, group));
  }
  for (const group of ["staff", "-1", "1.5", "4294967295", "99999999999", " 1"]) {
    test(`"${group}" is none`, () => {
      assert.throws(() => parseWantedVolume(request({ mountGroup: group })), /mount group .* is no group id/);
    });
  }
});

test("all that is wrong is told at once", () => {
  const changes = {
    fieldProblems: ["the volume capability is missing"],
    secrets: { ".dockerconfigjson": "hunter2" },
    volumeContext: { "oras.options.insecure": "x", "csi.storage.k8s.io/pod.namespace": "No" },
    mountFlags: ["nonsense"],
    mountGroup: "staff",
  };
  const wrong = [
    /^cannot publish the volume: the volume capability is missing; /,
    /key \.dockerconfigjson, .* is not JSON$/,
    /reference is missing/,
    /oras\.options\.insecure/,
    /namespace's name/,
    /nonsense/,
    /staff/,
  ];
  assert.throws(
    () => parseWantedVolume(request(changes)),
    (error) => {
      assert.ok(error instanceof DriverError);
      assert.equal(error.kind, "bad-input");
      for (const pattern of wrong) assert.match(error.message, pattern);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    },
  );
});

test("a secret's entry for the registry is looked at, and a secret alone is left to the pull", () => {
  const auths = { "ghcr.io": { auth: "nonsense" }, "other.io": { auth: "nonsense" } };
  const secrets = { ".dockerconfigjson": JSON.stringify({ auths }) };
  assert.throws(
    () => parseWantedVolume(request({ secrets, mountGroup: "staff" })),
    /staff.*; .* the auth of "ghcr.io"/,
  );
  parseWantedVolume(request({ secrets }));
});

test("a problem of the request's fields is enough", () => {
  const changes = { fieldProblems: ["the volume id is missing"], volumeId: "" };
  assert.throws(
    () => parseWantedVolume(request(changes)),
    /^DriverError: cannot publish the volume: the volume id is missing$/,
  );
});
