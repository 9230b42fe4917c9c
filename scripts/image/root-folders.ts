import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runTool } from "../build/run-tool.ts";
import { type DebianPackage, fetchDebianPackages } from "./debian.ts";
import { EXECUTABLE_IN_IMAGE, type ImagePlatform, imageCacheFolder } from "./platform.ts";

const root = join(import.meta.dirname, "../..");

/** What distroless cc for Debian 12 is made of. */
const BASE_PACKAGES = [
  "base-files",
  "ca-certificates",
  "gcc-12-base",
  "libc6",
  "libgcc-s1",
  "libgomp1",
  "libstdc++6",
  "netbase",
  "tzdata",
];
/** What Node links and the base lacks. */
const ADDED_PACKAGES = ["libatomic1"];

/** Programs, scripts, manuals. */
const UNWANTED = [
  ...["bin", "sbin", "usr/bin", "usr/sbin", "etc/update-motd.d"],
  ...["usr/share/man", "usr/share/lintian", "usr/share/bug"],
];

/** The two layers of the image as folders, and the packages that are in them. */
export interface RootFolders {
  readonly base: string;
  /** Laid over the base: the folder of this architecture in the context of deploy/Dockerfile. */
  readonly added: string;
  readonly packages: readonly DebianPackage[];
}

/** Makes both folders for an architecture; `context` is the folder of the build context. */
export async function makeRootFolders(platform: ImagePlatform, context: string): Promise<RootFolders> {
  const packages = await fetchDebianPackages(platform, [...BASE_PACKAGES, ...ADDED_PACKAGES]);
  const base = emptyFolder(join(imageCacheFolder, `base-${platform.oci}`));
  const added = emptyFolder(join(context, platform.oci));
  for (const item of packages) await unpack(item, ADDED_PACKAGES.includes(item.name) ? added : base);
  finishBase(base);
  const executable = join(added, EXECUTABLE_IN_IMAGE);
  mkdirSync(join(executable, ".."), { recursive: true });
  cpSync(join(root, `dist/oras-csi-linux-${platform.node}`), executable);
  chmodSync(executable, 0o755);
  return { base, added, packages };
}

function emptyFolder(path: string): string {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true, mode: 0o755 });
  chmodSync(path, 0o755);
  return path;
}

/** Puts a package's files there, without programs and manuals, and its control file where scanners of images look. */
async function unpack({ name, file, control }: DebianPackage, folder: string): Promise<void> {
  await runTool("dpkg-deb", ["--extract", file, folder]);
  for (const unwanted of UNWANTED) {
    rmSync(join(folder, unwanted), { recursive: true, force: true });
  }
  const documents = join(folder, "usr/share/doc", name);
  for (const document of existsSync(documents) ? readdirSync(documents) : []) {
    if (document !== "copyright") rmSync(join(documents, document), { recursive: true });
  }
  const status = join(folder, "var/lib/dpkg/status.d");
  mkdirSync(status, { recursive: true });
  writeFileSync(join(status, name), control);
}

/** What Debian's packages do in their install scripts, as far as a base without programs needs it. */
function finishBase(base: string): void {
  const certificates = join(base, "usr/share/ca-certificates/mozilla");
  const bundle = readdirSync(certificates)
    .sort()
    .map((name) => readFileSync(join(certificates, name), "utf8").trimEnd());
  const files = {
    "etc/group": "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/passwd":
      "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
      "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    "etc/ssl/certs/ca-certificates.crt": `${bundle.join("\n")}\n`,
  };
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(base, name, ".."), { recursive: true });
    writeFileSync(join(base, name), content);
  }
  mkdirSync(join(base, "tmp"), { recursive: true });
  chmodSync(join(base, "tmp"), 0o1777);
}
