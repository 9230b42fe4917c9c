import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasTool, installPackage, runTool } from "../build/run-tool.ts";
import { type ImagePlatform, imageCacheFolder } from "./platform.ts";

const RELEASE = "bookworm";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A package file that was fetched, and what its control file says. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** The package file. */
  readonly file: string;
  /** The whole control file, as dpkg keeps it. */
  readonly control: string;
}

/**
 * Fetches the newest Debian 12 packages for an architecture, whatever this machine's own system is: apt works on a
 * state of its own, checks Debian's signatures and needs no root.
 */
export async function fetchDebianPackages(platform: ImagePlatform, names: readonly string[]): Promise<DebianPackage[]> {
  if (!(await hasTool("apt-get")) || !(await hasTool("dpkg-deb"))) {
    throw new Error("the base of the image is made of Debian's packages: apt-get and dpkg-deb are needed");
  }
  await ensureKeyring();
  const folder = join(imageCacheFolder, `apt-${platform.oci}`);
  const options = writeAptState(folder, platform, await findMirror());
  await runTool("apt-get", [...options, "update", "-qq"]);
  const packages = join(folder, "packages");
  rmSync(packages, { recursive: true, force: true });
  mkdirSync(packages);
  await runTool("env", ["-C", packages, "apt-get", ...options, "download", "-qq", ...names]);
  const files = readdirSync(packages).map((file) => join(packages, file));
  const fetched = await Promise.all(files.map(readControl));
  const missing = names.filter((name) => !fetched.some((found) => found.name === name));
  if (missing.length > 0) throw new Error(`apt-get fetched no ${missing.join(", ")} for ${platform.oci}`);
  return fetched.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Debian has it, Ubuntu has not, and so does not trust Debian's packages. */
async function ensureKeyring(): Promise<void> {
  if (existsSync(KEYRING)) return;
  await installPackage("debian-archive-keyring");
  if (!existsSync(KEYRING)) throw new Error(`${KEYRING} is missing: install debian-archive-keyring`);
}

/**
 * The mirror that ORAS_CSI_DEBIAN_MIRROR names, else this machine's own, else, on another system with Docker (a runner
 * with Ubuntu), the one that Debian's image has. Its `debian` and `debian-security` are used.
 */
async function findMirror(): Promise<string> {
  const named = process.env["ORAS_CSI_DEBIAN_MIRROR"] ?? "";
  if (named !== "") return named;
  const sites = await runTool("apt-get", ["indextargets", "--format", "$(SITE)"]);
  const mirror = mirrorIn(sites) ?? mirrorIn(await sourcesOfDebianImage());
  if (mirror !== undefined) return mirror;
  throw new Error("this machine's apt knows no mirror of Debian: name one in ORAS_CSI_DEBIAN_MIRROR (http://HOST)");
}

/** The mirror in what apt prints of its sites, a line each, or in a sources file of the newer form. */
export function mirrorIn(text: string): string | undefined {
  return /^(?:URIs: +)?(https?:\/\/\S+)\/debian\/?$/m.exec(text)?.[1];
}

async function sourcesOfDebianImage(): Promise<string> {
  if (!(await hasTool("docker"))) return "";
  return runTool("docker", ["run", "--rm", `debian:${RELEASE}`, "cat", "/etc/apt/sources.list.d/debian.sources"]);
}

/** The folders and the list of sources that apt uses in place of the system's; returns the options that say so. */
function writeAptState(folder: string, platform: ImagePlatform, mirror: string): string[] {
  for (const name of ["state/lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const source = (path: string, suite: string) => `deb [signed-by=${KEYRING}] ${mirror}/${path} ${suite} main\n`;
  const sources =
    source("debian", RELEASE) +
    source("debian", `${RELEASE}-updates`) +
    source("debian-security", `${RELEASE}-security`);
  writeFileSync(join(folder, "sources.list"), sources);
  writeFileSync(join(folder, "status"), "");
  const settings = {
    "APT::Architecture": platform.oci,
    "APT::Architectures": platform.oci,
    "APT::Sandbox::User": "",
    "Dir::Cache": join(folder, "cache"),
    "Dir::Etc::Preferences": "/dev/null",
    "Dir::Etc::PreferencesParts": "/dev/null",
    "Dir::Etc::SourceList": join(folder, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::State": join(folder, "state"),
    "Dir::State::status": join(folder, "status"),
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

async function readControl(file: string): Promise<DebianPackage> {
  const control = await runTool("dpkg-deb", ["--field", file]);
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1] ?? "";
  return { name: field("Package"), version: field("Version"), architecture: field("Architecture"), file, control };
}
