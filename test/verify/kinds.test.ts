import assert from "node:assert/strict";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { changedImages, type ImageLayer } from "../fixtures/changed-images.ts";
import { gnuLong, paxEntry, type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import {
  artifact,
  type BuiltLayer,
  type BuiltManifest,
  configuredArtifact,
  fileLayer,
  knownArtifacts,
  layer,
  tarLayer,
} from "../registry/index.ts";
import { useVerifier } from "./verify-bench.ts";

const TAR = "application/vnd.oci.image.layer.v1.tar";
const PACKS = { plain: (tar: Buffer) => tar, gzip: gzipSync, zstd: zstdCompressSync } as const;
const same = fileLayer("one/same", "the same");

/** What one folder's tar may hold. */
const oddities: readonly (TarFields | Buffer)[] = [
  { name: "d/", type: "5", mode: 0o1777, mtime: 5 },
  { name: "d/closed/", type: "5", mode: 0 },
  { name: "d/closed/file", data: "in there", mode: 0 },
  { name: "d/setuid", data: "s", mode: 0o6755, uid: 5, gid: 6 },
  { name: "d/private", data: "p", mode: 0o600 },
  { name: "d/empty" },
  { name: "d/hard", type: "1", linkName: "d/private" },
  { name: "d/absolute", type: "2", linkName: "/etc/passwd" },
  { name: "d/dangling", type: "2", linkName: "no/where" },
  { name: "d/link", type: "2", linkName: "closed" },
  { name: "d/hard-link", type: "1", linkName: "d/link" },
  gnuLong("K", "t".repeat(3000)),
  { name: "d/long", type: "2" },
  { name: Buffer.from([0x64, 0x2f, 0xff, 0xfe, 0x20]), data: "no UTF-8" },
  { name: "d/new\nline", data: "n" },
  { name: "d/.wh.kept", data: "a whiteout only in images" },
  paxEntry({ "SCHILY.xattr.user.one": "two" }),
  { name: "d/attributes", data: "x" },
  { name: "d/twice", data: "first" },
  { name: "d/twice", data: "second", mode: 0o755 },
  { name: "d/fifo", type: "6" },
  { name: "d/implied/deep/file", data: "deep" },
  gnuLong("L", `d/${"n".repeat(200)}/${"m".repeat(250)}`),
  { name: "d/cut", data: "long name" },
];

const artifacts: Readonly<Record<string, readonly BuiltLayer[]>> = {
  nothing: [],
  "zero bytes": [fileLayer("empty", ""), fileLayer("deep/er/empty", "")],
  "one digest, two titles": [same, fileLayer("two/same", "the same"), fileLayer("zero/same", "the same")],
  oddities: [tarLayer("d", tarOf(...oddities))],
  "oddities at the root": [tarLayer(".", tarOf(...oddities))],
  "several in one folder": [
    tarLayer("d", tarOf({ name: "d/", type: "5", mode: 0o777, mtime: 1 }, { name: "d/a", data: "a" })),
    tarLayer("d", tarOf({ name: "d/", type: "5", mode: 0o555, mtime: 2 }, { name: "d/b", data: "b" })),
    tarLayer("d/in/it", tarOf({ name: "d/in/it/c", data: "c" })),
    fileLayer("d/in/file", "file"),
    tarLayer(".", tarOf({ name: "./", type: "5", mode: 0o500 }, { name: "d/in/", type: "5", mode: 0o711 })),
    tarLayer("e", tarOf({ name: "e", data: "a file" })),
  ],
  "a tar, kept as a file and unpacked": [
    tarLayer("d", tarOf({ name: "d/x", data: "x" })),
    { ...tarLayer("d", tarOf({ name: "d/x", data: "x" })), annotations: { "org.opencontainers.image.title": "d.tgz" } },
  ],
  many: Array.from({ length: 300 }, (_, i) => fileLayer(`f-${i % 10}/${i}`, `content ${i % 20}`)),
};

/** Files below, moved there by their kind, of modes of their own. */
function modelPack(): BuiltManifest {
  const type = (rest: string) => `application/vnd.cncf.model.${rest}`;
  const at = (path: string, mode?: number) => ({
    "org.cncf.model.filepath": path,
    ...(mode === undefined ? {} : { "org.cncf.model.file.metadata+json": JSON.stringify({ mode }) }),
  });
  const tar = tarOf({ name: "./", type: "5", mode: 0o2700 }, { name: "x", data: "x" }, { name: "s/y", data: "y" });
  return configuredArtifact(layer(Buffer.from("{}"), type("config.v1+json")), [
    ...[0, 0o100, 0o444, 0o644, 0o755, 0o4777].map((mode, i) =>
      layer(Buffer.from("run"), type("code.v1.raw"), at(`bin/${i}`, mode)),
    ),
    layer(tar, type("weight.v1.tar"), at("moved/below")),
    layer(Buffer.from("w"), type("weight.v1.raw"), at("moved/file", 0o755)),
    layer(Buffer.alloc(0), type("weight.v1.raw"), at("moved/empty", 0o755)),
  ]);
}

function imageOf(layers: readonly ImageLayer[]): BuiltManifest {
  return configuredArtifact(
    layer(Buffer.from('{"architecture":"amd64","os":"linux"}'), "application/vnd.oci.image.config.v1+json"),
    layers.map(({ pack, entries }) => layer(PACKS[pack](tarOf(...entries)), TAR)),
  );
}

/** One of each kind, by its name. */
async function allKinds(): Promise<ReadonlyMap<string, BuiltManifest>> {
  const odd: ImageLayer = { pack: "plain", entries: oddities };
  const images = [...changedImages, { name: "oddities", layers: [odd, odd] }];
  return new Map([
    ...(await knownArtifacts()).map(({ kind, manifest }) => [kind, manifest] as const),
    ...Object.entries(artifacts).map(([name, layers]) => [name, artifact(layers)] as const),
    ["ModelPack with modes", modelPack()],
    ...images.map(({ name, layers }) => [`image: ${name}`, imageOf(layers)] as const),
  ]);
}

/** All that a verification must leave alone. */
function pictureOf(dataDir: string): readonly string[] {
  return ["blobs", "layers", "trees"].flatMap((kind) => {
    const folder = Buffer.from(join(dataDir, kind));
    return picturesBelow(folder).sort();
  });
}

function picturesBelow(folder: Buffer): string[] {
  return readdirSync(folder, { encoding: "buffer" }).flatMap((name) => {
    const path = Buffer.concat([folder, Buffer.from("/"), name]);
    const found = lstatSync(path);
    const { ino, mode, uid, gid, nlink, size, mtimeMs } = found;
    const line = [path.toString("hex"), ino, mode, uid, gid, nlink, size, mtimeMs].join(" ");
    return found.isDirectory() ? [line, ...picturesBelow(path)] : [line];
  });
}

test("nothing is wrong with what any kind of artifact becomes, and nothing is changed", async () => {
  await using area = await useVerifier();
  let number = 0;
  for (const [name, manifest] of await allKinds()) {
    const tag = `kind-${number++}`;
    await area.push(manifest, tag);
    await area.present(tag).catch((error: unknown) => assert.fail(`${name}: ${String(error)}`));
  }
  const before = pictureOf(area.dataDir);
  for (const repairs of [false, true]) assert.deepEqual(await area.verify(repairs), []);
  assert.deepEqual(pictureOf(area.dataDir), before);
  const { trees, unknownFiles } = await area.counts();
  assert.deepEqual({ trees, unknownFiles }, { trees: number, unknownFiles: 0 });
});
