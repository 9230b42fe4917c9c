import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { serveOptions } from "../../src/config/index.ts";

const base = join(import.meta.dirname, "../../deploy/kustomize/base");
const objects = ["namespace.yaml", "oras-csi.yaml"].flatMap((file) =>
  parseAllDocuments(readFileSync(join(base, file), "utf8")).map((document) => document.toJS()),
);
const only = (kind: string) => {
  const found = objects.filter((object) => object.kind === kind);
  assert.equal(found.length, 1, `there is one ${kind}`);
  return found[0];
};

test("the manifests have a namespace, an account without rights, the driver, and nothing else", () => {
  assert.deepEqual(objects.map((object) => object.kind).sort(), [
    "CSIDriver",
    "DaemonSet",
    "Namespace",
    "ServiceAccount",
  ]);
  for (const { kind, metadata } of objects) {
    assert.equal(metadata.labels["app.kubernetes.io/name"], "oras-csi", kind);
    assert.equal(metadata.labels["app.kubernetes.io/part-of"], "oras-csi", kind);
  }
});

test("the CSIDriver says how kubelet is to call the driver", () => {
  const { metadata, spec } = only("CSIDriver");
  assert.equal(metadata.name, serveOptions.driverName.defaultValue);
  assert.equal(metadata.labels["security.openshift.io/csi-ephemeral-volume-profile"], "restricted");
  assert.deepEqual(spec, {
    attachRequired: false,
    podInfoOnMount: true,
    volumeLifecycleModes: ["Ephemeral", "Persistent"],
    fsGroupPolicy: "None",
    requiresRepublish: false,
    storageCapacity: false,
  });
});

test("one container per node, with what it needs and no more", () => {
  const { spec } = only("DaemonSet");
  const pod = spec.template.spec;
  assert.equal(pod.containers.length, 1);
  assert.equal(pod.initContainers, undefined);
  assert.equal(pod.automountServiceAccountToken, false);
  assert.equal(pod.hostPID, undefined);
  assert.equal(pod.hostIPC, undefined);
  assert.equal(pod.hostNetwork, true);
  assert.equal(pod.dnsPolicy, "ClusterFirstWithHostNet");
  assert.equal(pod.priorityClassName, "system-node-critical");
  assert.deepEqual(pod.nodeSelector, { "kubernetes.io/os": "linux" });
  assert.equal(spec.updateStrategy.rollingUpdate.maxSurge, 0);
  const [container] = pod.containers;
  assert.deepEqual(container.securityContext, { privileged: true, readOnlyRootFilesystem: true, runAsUser: 0 });
  assert.equal(container.resources.limits.memory, "512Mi");
  const probes = ["startupProbe", "livenessProbe", "readinessProbe"].map((name) => container[name].httpGet);
  assert.deepEqual(
    probes.map(({ path, host, port }) => `${host}:${port}${path}`),
    ["127.0.0.1:19808/healthz", "127.0.0.1:19808/healthz", "127.0.0.1:19808/readyz"],
  );
});

test("four folders of the node are mounted, one of them so that mounts reach kubelet", () => {
  const { volumes, containers } = only("DaemonSet").spec.template.spec;
  const paths = volumes.map((volume: { hostPath: { path: string } }) => volume.hostPath.path);
  assert.deepEqual(paths.sort(), [
    "/var/lib/kubelet/plugins/csi.oras.land",
    "/var/lib/kubelet/plugins_registry",
    "/var/lib/kubelet/pods",
    "/var/lib/oras-csi",
  ]);
  const propagating = containers[0].volumeMounts.filter((mount: object) => "mountPropagation" in mount);
  assert.deepEqual(propagating, [
    { name: "pods", mountPath: "/var/lib/kubelet/pods", mountPropagation: "Bidirectional" },
  ]);
});

test("the arguments are flags of serve", () => {
  const known = Object.keys(serveOptions).map(
    (name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  );
  const [command, ...args]: string[] = only("DaemonSet").spec.template.spec.containers[0].args;
  assert.equal(command, "serve");
  for (const arg of args) assert.ok(known.includes(arg.split("=")[0] ?? ""), `${arg} is no flag of serve`);
});
