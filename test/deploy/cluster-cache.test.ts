import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { serveOptions } from "../../src/config/index.ts";
import { parseHostsFile } from "../../src/registry/hosts/hosts-file.ts";

const root = join(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "docs/cluster-cache.md"), "utf8");
const overlay = join(root, "deploy/kustomize/overlays/registry-mirror");

/** Where the hosts of a file have their API, in order; `-` is the registry itself. */
function hostsIn(text: string): string[] {
  const entries = parseHostsFile(text, "the example", "/etc/containerd/certs.d/x");
  return entries.map(({ root: api }) =>
    api === undefined ? "-" : `${api.scheme}://${api.host}:${api.port}${api.path}`,
  );
}

test("the guide's files are read as it says", () => {
  const files = [...guide.matchAll(/^```toml\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => hostsIn(text));
  assert.deepEqual(files, [
    ["http://docker-cache.example.com:5000/v2", "https://registry-1.docker.io:443/v2"],
    ["https://harbor.example.com:443/v2/ghcr", "https://ghcr.io:443/v2"],
    ["https://registry-cache.example.com:443/v2", "-"],
    ["http://127.0.0.1:4001/v2", "https://ghcr.io:443/v2"],
    ["http://10.0.0.7:30020/v2", "https://registry-cache.example.com:443/v2", "-"],
  ]);
});

test("the guide names the flag and its default, and the overlay", () => {
  const { defaultText } = serveOptions.registryHostsDir;
  assert.ok(guide.includes(`--registry-hosts-dir\` (\`${defaultText}\`)`));
  assert.ok(guide.includes("deploy/kustomize/overlays/registry-mirror"));
});

test("the overlay puts its hosts.toml where the driver is told to look", () => {
  assert.deepEqual(hostsIn(readFileSync(join(overlay, "hosts.toml"), "utf8")), [
    "https://registry-cache.example.com:443/v2",
    "-",
  ]);
  const [document] = parseAllDocuments(readFileSync(join(overlay, "kustomization.yaml"), "utf8"));
  const { configMapGenerator, patches } = document?.toJS() ?? {};
  const [flag, mount, volume] = parseAllDocuments(patches[0].patch)[0]?.toJS() ?? [];
  assert.equal(flag.value, `--registry-hosts-dir=${mount.value.mountPath}`);
  assert.equal(mount.value.readOnly, true);
  assert.equal(mount.value.name, volume.value.name);
  assert.equal(volume.value.configMap.name, configMapGenerator[0].name);
  assert.deepEqual(
    volume.value.configMap.items.map(({ key }: { key: string }) => key),
    configMapGenerator[0].files.map((file: string) => file.split("=")[0]),
  );
  assert.equal(volume.value.configMap.items[0].path, "_default/hosts.toml");
});
