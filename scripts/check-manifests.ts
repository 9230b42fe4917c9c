// `npx node scripts/check-manifests.ts`: lints the chart, compares deploy/kustomize/base with what the chart prints,
// builds each kustomization. `--write` writes the base instead of comparing. What cannot be checked here is named, with
// the reason.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findGoTool, type GoTool } from "./go-tool.ts";

const HELM: GoTool = { name: "helm", package: "helm.sh/helm/v3/cmd/helm@latest", tryWith: ["version"] };
const KUSTOMIZE: GoTool = {
  name: "kustomize",
  package: "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1",
  tryWith: ["version"],
};

const deploy = join(import.meta.dirname, "../deploy");
const chart = join(deploy, "chart");
const base = join(deploy, "kustomize/base/oras-csi.yaml");
/** A helm that `go install` built takes itself for a very old Kubernetes. */
const template = ["template", "oras-csi", chart, "--namespace", "oras-csi", "--kube-version", "1.31.0"];
const ALL_VALUES = [
  [
    "image.tag=v9",
    "driverName=csi.oras2",
    "imagePullSecrets[0].name=login",
    "caBundle.configMap=roots",
    "dockerConfigSecret=login",
  ],
  ["allowRegistry={ghcr.io/org/**}", "extraArgs={--max-pulls=8}", "podMonitor.enabled=true", "podLabels.team=ml"],
  ["podAnnotations.note=x", "podMonitor.labels.release=prometheus", "log.level=debug", "enforceNamespaces=false"],
  ["hostsDir=/etc/containerd/certs.d", "credentialProviders.config=/etc/kubernetes/providers.yaml"],
  ["credentialProviders.binDir=/opt/providers", "proxy.https=http://proxy.example:3128", "proxy.secret=proxy"],
  ["proxy.noProxy=10.0.0.0/8\\,.cluster.local"],
  ["selinuxLabel=system_u:object_r:container_ro_file_t:s0", "cache.maxBytes=50Gi", "cache.ttl=168h"],
].flatMap((values) => values.flatMap((value) => ["--set", value]));
/** What the values about registries come to, in the DaemonSet with all of them. */
const ABOUT_REGISTRIES = [
  "- --docker-config=/etc/oras-csi/docker/config.json",
  "- --registry-hosts-dir=/etc/containerd/certs.d",
  "- --image-credential-provider-config=/etc/oras-csi/credential-providers/config/providers.yaml",
  "- --image-credential-provider-bin-dir=/etc/oras-csi/credential-providers/bin",
  '- name: HTTPS_PROXY value: "http://proxy.example:3128"',
  '- name: NO_PROXY value: "10.0.0.0/8,.cluster.local"',
  "- secretRef: name: proxy",
  "- name: registry-hosts mountPath: /etc/containerd/certs.d readOnly: true",
  "- name: registry-hosts hostPath: path: /etc/containerd/certs.d",
  "- name: provider-config mountPath: /etc/oras-csi/credential-providers/config readOnly: true",
  "- name: provider-config hostPath: path: /etc/kubernetes type: Directory",
  "- name: provider-bin mountPath: /etc/oras-csi/credential-providers/bin readOnly: true",
  "- name: provider-bin hostPath: path: /opt/providers type: Directory",
];
const REFUSED_VALUES = [
  "kubeletDir=var/lib/kubelet",
  "driverName=CSI.oras.land",
  "http.address=19808",
  "log.level=loud",
  "kubletDir=/x",
  "selinuxLabel=shared",
  "cache.maxBytes=50GB",
  "cache.ttl=7d",
  "cache.ttl=0h",
  "cache.maxBytes=0Gi",
  "cache.highPercent=100",
  "allowRegistry={ghcr.io}",
  "http.address=127.0.0.1:99999",
  "maxUnavailable=some",
  "hostsDir=certs.d",
  "credentialProviders.config=/etc/providers.yaml",
  "proxy.https=socks5://proxy.example:1080",
];

/** Where HTTP is served and where probes ask, by values; without a host they ask the pod's IP, which is the node's. */
const ADDRESSES = [
  { value: "podMonitor.enabled=true", endpoint: "[$(NODE_IP)]:19808", probe: "port: 19808", hostPort: true },
  { value: "http.address=[fd00::5]:80", endpoint: "[fd00::5]:80", probe: 'host: "fd00::5" port: 80', hostPort: false },
  { value: "http.address=10.0.0.5:80", endpoint: "10.0.0.5:80", probe: 'host: "10.0.0.5" port: 80', hostPort: false },
] as const;

let failures = 0;
checkChart(findGoTool(HELM), process.argv.includes("--write"));
checkKustomizations(findGoTool(KUSTOMIZE));
process.exitCode = failures === 0 ? 0 : 1;

function checkChart(helm: string | undefined, write: boolean): void {
  if (helm === undefined) {
    console.log("skipped: helm lint and the comparison of kustomize/base (neither helm nor Go to install it is here)");
    return;
  }
  report("helm lint", run(helm, ["lint", "--strict", "--quiet", chart]));
  report("helm lint with all values", run(helm, ["lint", "--strict", "--quiet", ...ALL_VALUES, chart]));
  const all = run(helm, [...template, ...ALL_VALUES]);
  report("the chart with all values", all);
  const printed = all.output.replaceAll(/\s+/g, " ");
  const lacking = ABOUT_REGISTRIES.filter((text) => !printed.includes(text)).join("\n");
  report("the values about registries", { output: "", failure: lacking === "" ? undefined : `not there:\n${lacking}` });
  for (const value of REFUSED_VALUES) {
    const { failure } = run(helm, [...template, "--set", value]);
    const refused = failure?.includes("values don't meet the specifications of the schema");
    report(`the schema refuses ${value}`, { output: "", failure: refused ? undefined : `it does not: ${failure}` });
  }
  const marks = run(helm, [...template, "--set", "cache.highPercent=60"]).failure ?? "it does not";
  const saysMarks = marks.includes("cache.lowPercent 70 and cache.highPercent 60: must be in this order");
  report("marks in the wrong order are refused", { output: "", failure: saysMarks ? undefined : marks });
  for (const row of ADDRESSES) report(`addresses with ${row.value}`, checkAddress(helm, row));
  const moved = run(helm, [...template, "--set", "kubeletDir=/var/lib/k0s/kubelet"]);
  const left = moved.output.split("\n").filter((line) => line.includes("/var/lib/kubelet"));
  report("kubeletDir sets every path", { output: "", failure: moved.failure ?? (left.join("\n") || undefined) });
  checkBase(run(helm, template), write);
}

function checkAddress(helm: string, { value, endpoint, probe, hostPort }: (typeof ADDRESSES)[number]): Result {
  const { output, failure } = run(helm, [...template, "--set", value]);
  const probes = [...output.matchAll(/path: \/\w+z\n((?: +(?:host|port): .*\n)+)/g)].map(([, lines = ""]) =>
    lines.trim().replace(/\s*\n\s*/g, " "),
  );
  const asWanted =
    output.includes(`- --http-endpoint=${endpoint}\n`) &&
    probes.join("; ") === [probe, probe, probe].join("; ") &&
    /hostPort: \d+\n/.test(output) === hostPort &&
    output.includes("fieldPath: status.hostIP") === hostPort;
  return { output, failure: failure ?? (asWanted ? undefined : `they are not as they should be:\n${output}`) };
}

function checkBase({ output, failure }: Result, write: boolean): void {
  if (failure === undefined && write) writeFileSync(base, output);
  const same = existsSync(base) && readFileSync(base, "utf8") === output;
  const outdated = "it is not: npx node scripts/check-manifests.ts --write";
  report("kustomize/base is what the chart prints", { output, failure: failure ?? (same ? undefined : outdated) });
}

function checkKustomizations(kustomize: string | undefined): void {
  const kubectl = spawnSync("kubectl", ["version", "--client"]).status === 0;
  const command = kustomize !== undefined ? [kustomize, "build"] : kubectl ? ["kubectl", "kustomize"] : undefined;
  const overlays = readdirSync(join(deploy, "kustomize/overlays")).map((name) => `kustomize/overlays/${name}`);
  for (const folder of ["kustomize/base", ...overlays]) {
    if (command === undefined) console.log(`skipped: ${folder} (neither kustomize, nor kubectl, nor Go is here)`);
    else report(`kustomize build ${folder}`, run(command[0] ?? "", [...command.slice(1), join(deploy, folder)]));
  }
}

interface Result {
  readonly output: string;
  /** What was printed when the program failed. */
  readonly failure: string | undefined;
}

function run(command: string, args: readonly string[]): Result {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return { output: stdout, failure: status === 0 ? undefined : `${stdout}${stderr}`.trim() };
}

function report(name: string, { failure }: Result): void {
  console.log(`${failure === undefined ? "ok    " : "FAILED"}  ${name}`);
  if (failure === undefined) return;
  failures += 1;
  console.log(failure.replace(/^/gm, "        "));
}
