import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { hash } from "node:crypto";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Sandbox } from "../driver/index.ts";
import { changedImages, type ImageLayer } from "../fixtures/changed-images.ts";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import { useTempFolder } from "../helpers/temp-folder.ts";
import {
  type BuiltManifest,
  configuredArtifact,
  EmbeddedRegistry,
  layer,
  readOciLayout,
  writeOciLayout,
} from "../registry/index.ts";
import { attributes, pushThing, REAL } from "./support.ts";

// The judge is umoci, which unpacks the same images: real files of this Debian, layers of our own on them, and what buildah makes.

const ENV = { ...process.env, PATH: `${process.env["PATH"]}:${process.env["HOME"]}/go/bin` };
const isThere = (tool: string, ...args: string[]) => spawnSync(tool, args, { env: ENV }).status === 0;
const skipUmoci = isThere("umoci", "--version") ? REAL.skip : "umoci is not installed";
const skipDebian = isThere("dpkg", "-L", "perl-base") ? skipUmoci : "needs files of Debian's packages";
const skipBuildah = isThere("buildah", "--version") ? skipUmoci : "buildah is not installed";

test("files of Debian under layers that change them", { skip: skipDebian }, async (t) => {
  const above: readonly ImageLayer[] = [
    { pack: "zstd", entries: changes },
    { pack: "plain", entries: moreChanges },
  ];
  await compareWithUmoci(t, imageOf([{ pack: "gzip", entries: debianTar() }, ...above]));
});

for (const { name, layers } of changedImages) {
  test(name, { skip: skipUmoci }, (t) => compareWithUmoci(t, imageOf(layers)));
}

test("what buildah makes of changes in a container", { skip: skipBuildah }, async (t) => {
  await compareWithUmoci(t, buildahImage(useTempFolder(t)));
});

const PACKS = {
  plain: { suffix: "", run: (tar: Buffer) => tar },
  gzip: { suffix: "+gzip", run: (tar: Buffer) => gzipSync(tar) },
  zstd: { suffix: "+zstd", run: (tar: Buffer) => zstdCompressSync(tar) },
} as const satisfies Record<ImageLayer["pack"], object>;

const folder = (name: string, more: Partial<TarFields> = {}): TarFields => {
  return { name, type: "5", mode: 0o755, mtime: 1_500_000_000, ...more };
};
const changes: readonly TarFields[] = [
  folder("usr"),
  folder("usr/bin", { mode: 0o711, uid: 12, gid: 34 }),
  { name: "usr/bin/perl-linked", type: "1", linkName: "usr/bin/perl" },
  { name: "usr/bin/.wh.perl" },
  { name: "usr/bin/bash", data: "#!/bin/sh\n", mode: 0o750, uid: 1, gid: 1, mtime: 1_234_567_890 },
  folder("usr/share"),
  { name: "usr/share/.wh.doc" },
  folder("usr/share/doc", { mtime: 5 }),
  { name: "usr/share/doc/only", data: "this one" },
  { name: "usr/share/.wh.doc" },
  folder("etc"),
  { name: "etc/.wh..wh..opq" },
  { name: "etc/new", data: "new", mode: 0o4600, uid: 65_534, gid: 65_534, mtime: 1 },
];
const moreChanges: readonly TarFields[] = [
  folder("etc"),
  { name: "etc/new", type: "2", linkName: "/etc/elsewhere", uid: 7, gid: 8, mtime: 99 },
  folder("usr"),
  folder("usr/bin", { mode: 0o755, mtime: 44 }),
  { name: "usr/bin/again", type: "1", linkName: "usr/bin/perl-linked" },
  { name: "usr/bin/.wh.perl-linked" },
  { name: "usr/share", data: "a file where a folder was", mtime: 3 },
];

/** All that some packages installed here: setuid programs, hard links, symlinks, times of all kinds. */
function debianTar(): Buffer {
  const paths = execFileSync("dpkg", ["-L", "base-files", "bash", "coreutils", "perl-base", "passwd"], {
    encoding: "utf8",
  });
  const real = paths
    .split("\n")
    .filter((path) => path.startsWith("/") && path !== "/." && lstatSync(path, { throwIfNoEntry: false }))
    .map((path) => join(realpathSync(dirname(path)), basename(path)).slice(1))
    .filter((path) => !path.startsWith("proc") && !path.startsWith("sys"));
  const listed = [...new Set(real.flatMap((path) => [...parentsOf(path), path]))].sort();
  return execFileSync(
    "tar",
    ["--create", "--format=pax", "--numeric-owner", "--no-recursion", "-C", "/", "--null", "-T", "-"],
    { input: listed.join("\0"), maxBuffer: 2 ** 30, stdio: "pipe" },
  );
}

function parentsOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}

/** `entries` may be a whole tar. */
function imageOf(layers: readonly (Omit<ImageLayer, "entries"> & { entries: ImageLayer["entries"] | Buffer })[]) {
  const tars = layers.map(({ entries }) => (Buffer.isBuffer(entries) ? entries : tarOf(...entries)));
  const config = {
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: tars.map((tar) => `sha256:${hash("sha256", tar)}`) },
  };
  return configuredArtifact(
    layer(Buffer.from(JSON.stringify(config)), "application/vnd.oci.image.config.v1+json"),
    layers.map(({ pack }, i) => {
      const { suffix, run } = PACKS[pack];
      return layer(run(tars[i] ?? Buffer.of()), `application/vnd.oci.image.layer.v1.tar${suffix}`);
    }),
  );
}

/** A container's file system, committed, changed and committed again. */
function buildahImage(area: string): BuiltManifest {
  const buildah = (...args: string[]) => {
    const where = ["--root", join(area, "root"), "--runroot", join(area, "run"), "--storage-driver", "vfs"];
    return execFileSync("buildah", [...where, ...args], { encoding: "utf8", stdio: "pipe" }).trim();
  };
  buildah("from", "--name", "first", "scratch");
  const root = buildah("mount", "first");
  for (const path of ["a/b/c", "kept", "replaced"]) mkdirSync(join(root, path), { recursive: true });
  for (const path of ["a/one", "a/b/two", "a/b/c/three", "kept/four", "replaced/five"])
    writeFileSync(join(root, path), path);
  linkSync(join(root, "a/one"), join(root, "kept/one-too"));
  symlinkSync("../a", join(root, "kept/link"));
  execFileSync("chown", ["-h", "11:22", join(root, "a/one"), join(root, "kept/link")]);
  execFileSync("chmod", ["1770", join(root, "kept")]);
  buildah("commit", "first", "first-image");
  buildah("from", "--name", "second", "first-image");
  const changed = buildah("mount", "second");
  rmSync(join(changed, "a/b"), { recursive: true });
  renameSync(join(changed, "a/one"), join(changed, "moved"));
  rmSync(join(changed, "replaced"), { recursive: true });
  mkdirSync(join(changed, "replaced"));
  writeFileSync(join(changed, "replaced/six"), "six");
  rmSync(join(changed, "kept/link"));
  mkdirSync(join(changed, "kept/link"));
  linkSync(join(changed, "kept/four"), join(changed, "kept/link/four"));
  const layout = join(area, "layout");
  buildah("commit", "second", `oci:${layout}:image`);
  for (const name of ["first", "second"]) buildah("rm", name);
  return readOciLayout(layout);
}

async function compareWithUmoci(t: TestContext, manifest: BuiltManifest): Promise<void> {
  const area = useTempFolder(t);
  writeOciLayout(join(area, "layout"), manifest, "image");
  const bundle = join(area, "bundle");
  execFileSync("umoci", ["unpack", "--image", `${join(area, "layout")}:image`, bundle], { env: ENV, stdio: "pipe" });
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, manifest)) });
  await volume.publish();
  const [ours, theirs] = [factsBelow(volume.targetPath), factsBelow(join(bundle, "rootfs"))];
  assert.deepEqual([...ours.keys()], [...theirs.keys()]);
  for (const [path, facts] of ours) assert.deepEqual(facts, theirs.get(path), path);
  t.diagnostic(`${ours.size} entries are the same`);
}

/** All that is said of each path: what it is, whose, since when, and which other paths are the same file. */
function factsBelow(root: string): Map<string, unknown> {
  const facts = new Map<string, unknown>();
  const names = new Map<bigint, string>();
  const look = (path: string) => {
    const full = join(root, path);
    const { mode, uid, gid, mtimeNs, ino, size } = lstatSync(full, { bigint: true });
    const stat = lstatSync(full);
    const type = stat.isDirectory() ? "folder" : stat.isFile() ? "file" : stat.isSymbolicLink() ? "symlink" : "other";
    // umoci makes devices, and keeps what runs as another user.
    if (type === "other") return;
    const content = type === "file" ? hash("sha256", readFileSync(full)) : type === "symlink" ? readlinkSync(full) : "";
    if (!names.has(ino)) names.set(ino, path);
    const bits = (Number(mode) & 0o1777).toString(8);
    const bytes = type === "folder" ? 0n : size;
    facts.set(path, [type, bits, uid, gid, mtimeNs / 1000n, bytes, content, type === "folder" ? path : names.get(ino)]);
    if (type === "folder") for (const name of readdirSync(full).sort()) look(join(path, name));
  };
  look(".");
  // Where an image says nothing of its root, each tool has an opinion.
  facts.delete(".");
  return facts;
}
