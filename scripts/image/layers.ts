import { join } from "node:path";
import { runTool } from "../build/run-tool.ts";
import { type ImagePlatform, imageCacheFolder } from "./platform.ts";

const root = join(import.meta.dirname, "../..");
const BASE_ENVIRONMENT = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
];

/** What the labels of the image say of this build. */
export interface BuildFacts {
  readonly version: string;
  readonly revision: string;
  /** ISO 8601. */
  readonly created: string;
}

/** The folders that an image for one architecture is built from. */
export interface ImageSources {
  readonly base: string;
  readonly context: string;
}

/**
 * Builds deploy/Dockerfile for an architecture by buildah and leaves it as an OCI layout in `output`, its layers
 * packed quickly: buildah's own zstd stops at a level that is 4 MB worse. No program of the image runs, so it may be for another architecture than this machine's.
 */
export async function buildImage(
  platform: ImagePlatform,
  sources: ImageSources,
  facts: BuildFacts,
  output: string,
): Promise<void> {
  const seconds = String(Math.floor(Date.parse(facts.created) / 1000));
  const base = `localhost/oras-csi-base:${platform.oci}`;
  const container = (await buildah(["from", "--arch", platform.oci, "scratch"])).trim();
  try {
    await buildah(["add", "--quiet", "--chown", "0:0", container, sources.base, "/"]);
    const environment = BASE_ENVIRONMENT.flatMap((setting) => ["--env", setting]);
    await buildah(["config", "--arch", platform.oci, "--os", "linux", ...environment, container]);
    await buildah([
      "commit",
      "--quiet",
      "--identity-label=false",
      "--timestamp",
      seconds,
      "--format",
      "oci",
      container,
      base,
    ]);
  } finally {
    await buildah(["rm", container]);
  }
  const image = `localhost/oras-csi:${platform.oci}`;
  const given = { BASE: base, VERSION: facts.version, REVISION: facts.revision, CREATED: facts.created };
  await buildah([
    ...["build", "--quiet", "--pull-never", "--format", "oci", "--identity-label=false"],
    ...["--platform", `linux/${platform.oci}`, "--timestamp", seconds],
    ...Object.entries(given).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    ...["--tag", image, "--file", join(root, "deploy/Dockerfile"), sources.context],
  ]);
  await buildah([
    "push",
    "--quiet",
    "--compression-format",
    "gzip",
    "--compression-level",
    "1",
    "--format",
    "oci",
    image,
    `oci:${output}:image`,
  ]);
}

/** buildah with a store of its own: the machine's images are neither used nor touched. */
function buildah(args: readonly string[]): Promise<string> {
  const store = ["--root", join(imageCacheFolder, "store"), "--runroot", join(imageCacheFolder, "run")];
  return runTool("buildah", [...store, "--storage-driver", "vfs", ...args], { BUILDAH_ISOLATION: "chroot" });
}
