import { Buffer } from "node:buffer";
import type { DebianPackage } from "./debian.ts";
import { bundledNodeVersion, bundledPackages, type NpmPackage, projectVersion } from "./npm-packages.ts";

/**
 * What an image is made of, as CycloneDX 1.6: Debian's packages, Node with what is compiled into it, npm's packages.
 * `created` is a time in ISO 8601.
 */
export function billOfMaterials(packages: readonly DebianPackage[], created: string): object {
  const version = projectVersion();
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: created,
      component: { type: "application", name: "oras-csi", version, licenses: [{ license: { id: "MIT" } }] },
    },
    components: [nodeComponent(), ...bundledPackages().map(npmComponent), ...packages.map(debianComponent)],
  };
}

function nodeComponent(): object {
  const version = bundledNodeVersion();
  // The scripts run on the very Node that the executables are made of.
  if (process.versions.node !== version) throw new Error(`this is Node ${process.versions.node}, not ${version}`);
  const parts = Object.entries(process.versions).filter(([name]) => !["node", "modules", "napi"].includes(name));
  return {
    type: "platform",
    name: "node",
    version,
    purl: `pkg:generic/node@${version}`,
    components: parts.map(([name, partVersion]) => ({ type: "library", name, version: partVersion })),
  };
}

function npmComponent({ name, version, integrity, license }: NpmPackage): object {
  const [algorithm = "", digest = ""] = integrity.split(/-(.*)/s);
  return {
    type: "library",
    name,
    version,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    hashes: [{ alg: algorithm.replace("sha", "SHA-"), content: Buffer.from(digest, "base64").toString("hex") }],
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
  };
}

function debianComponent({ name, version, architecture }: DebianPackage): object {
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}`;
  return { type: "library", name, version, purl: `${purl}?arch=${architecture}&distro=debian-12` };
}
