import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { tarOf } from "../fixtures/tar-builder.ts";
import { attributes, pushThing, REAL } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, layer, tarLayer } from "../registry/index.ts";
import { CacheCommand } from "./support.ts";

const model = fileLayer("model", "the model");
const program = layer(Buffer.from("a program"), "x/program", {
  "org.opencontainers.image.title": "run",
  "org.cncf.model.file.metadata+json": '{"mode":493}',
});
const conf = tarLayer(
  "conf",
  tarOf(
    { name: "conf/", type: "5", mode: 0o755 },
    { name: "conf/a", data: "content a", mode: 0o644 },
    { name: "conf/b", data: "content b", mode: 0o755 },
    { name: "conf/sub/", type: "5", mode: 0o755 },
    { name: "conf/sub/c", data: "content c", mode: 0o644 },
    { name: "conf/link", type: "2", linkName: "a" },
  ),
);

/** What is in a folder, and below: types, modes, targets and content. */
function picture(folder: string): readonly string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return paths.map((path) => {
    const full = join(folder, path);
    const found = lstatSync(full);
    if (found.isSymbolicLink()) return `${path} -> ${readlinkSync(full)}`;
    const mode = (found.mode & 0o7777).toString(8);
    return `${path} ${mode} ${found.isFile() ? readFileSync(full, "utf8") : "/"}`;
  });
}

/** A driver with a volume of each kind, both of one artifact. */
async function useVolumes() {
  const registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([model, program, conf]));
  const sandbox = await Sandbox.start();
  const volume = (readOnly: boolean) => sandbox.kubelet.volume({ attributes: attributes(reference), readOnly });
  const volumes = [volume(true), volume(false)];
  for (const each of volumes) await each.publish();
  registry.log.clear();
  const cache = new CacheCommand(sandbox.dataDir);
  const [tree] = await cache.json("ls");
  return {
    registry,
    cache,
    volume,
    tree: join(sandbox.dataDir, "trees", tree?.id ?? ""),
    layer: join(sandbox.dataDir, "layers/sha256", `${conf.digest.slice(7)}.artifact`),
    /** What the pods see, which is the same. */
    seen() {
      const [one, other] = volumes.map(({ targetPath }) => picture(targetPath));
      assert.deepEqual(other, one);
      return one;
    },
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

function swap(folder: string, one: string, other: string): void {
  renameSync(join(folder, one), join(folder, "swapped"));
  renameSync(join(folder, other), join(folder, one));
  renameSync(join(folder, "swapped"), join(folder, other));
}

function replaceLink(path: string, target: string): void {
  rmSync(path, { recursive: true });
  symlinkSync(target, path);
}

type Harm = readonly [name: string, harm: (tree: string, layer: string) => void, says: RegExp];
const harms: readonly Harm[] = [
  [
    "a file's mode, 0600",
    (tree) => chmodSync(join(tree, "conf/a"), 0o600),
    /"conf\/a" has another mode than it should$/m,
  ],
  ["a file's mode, setuid", (tree) => chmodSync(join(tree, "conf/b"), 0o4777), /"conf\/b" has another mode/],
  ["a blob's mode", (tree) => chmodSync(join(tree, "model"), 0o777), /^blob .* has mode 0777 instead of 0644$/m],
  ["a copy's mode", (tree) => chmodSync(join(tree, "run"), 0o644), /: "run" has mode 0644 instead of 0755$/m],
  [
    "a folder's mode",
    (tree) => chmodSync(join(tree, "conf/sub"), 0o700),
    /"conf\/sub" has mode 0700 instead of 0755$/m,
  ],
  [
    "a link's target",
    (tree) => replaceLink(join(tree, "conf/link"), "b"),
    /"conf\/link" leads elsewhere than it should$/m,
  ],
  [
    "two files' names, swapped",
    (tree) => swap(join(tree, "conf"), "a", "sub/c"),
    /"conf\/a" and 1 more have wrong bytes$/m,
  ],
  [
    "blob and copy, swapped",
    (tree) => swap(tree, "model", "run"),
    /: "model" and 1 more have wrong bytes; "model" and 1 more have other modes than they should$/m,
  ],
  ["an added file", (tree) => writeFileSync(join(tree, "conf/sub/new"), ""), /"conf\/sub\/new" should not be there$/m],
  [
    "an added folder",
    (tree) => mkdirSync(join(tree, "conf/more/of/it"), { recursive: true }),
    /"conf\/more" should not be there$/m,
  ],
  ["a removed folder", (tree) => rmSync(join(tree, "conf"), { recursive: true }), /: "conf" is missing$/m],
  ["an emptied folder", (tree) => rmSync(join(tree, "conf/sub/c")), /: "conf\/sub\/c" is missing$/m],
  ["a link for a file", (tree) => replaceLink(join(tree, "model"), "conf/a"), /"model" is no file any more$/m],
  ["a link for a folder", (tree) => replaceLink(join(tree, "conf/sub"), "/etc"), /"conf\/sub" is no folder any more$/m],
  [
    "a folder for a file",
    (tree) => {
      rmSync(join(tree, "conf/b"));
      mkdirSync(join(tree, "conf/b/in/it"), { recursive: true });
    },
    /: "conf\/b" is no file any more$/m,
  ],
];

test(
  "what is wrong in a tree is told, mended by --repair without a registry, and shown to running pods",
  REAL,
  async (t) => {
    await using area = await useVolumes();
    const right = area.seen();
    for (const [name, harm, says] of harms)
      await t.test(name, async () => {
        harm(area.tree, area.layer);
        const { code, output } = await area.cache.run("verify");
        assert.equal(code, 1, output);
        assert.match(output, says);
        assert.notEqual((await area.cache.json("ls"))[0]?.damage, null, "its volumes' health tells it");
        const repaired = await area.cache.json("verify --repair");
        assert.deepEqual([repaired.mended.length, repaired.left], [1, []]);
        assert.deepEqual(area.seen(), right);
        const after = await area.cache.run("verify");
        assert.equal(after.code, 0, after.output);
        assert.match(after.output, /: all as it should be\n$/);
      });
    assert.equal(area.registry.log.blobGets().length, 0);
  },
);

test("what is wrong in a tree is mended by the next publish", REAL, async (t) => {
  await using area = await useVolumes();
  const right = area.seen();
  for (const [name, harm] of harms)
    await t.test(name, async () => {
      harm(area.tree, area.layer);
      assert.equal((await area.cache.run("verify")).code, 1);
      const next = area.volume(true);
      await next.publish();
      assert.deepEqual(area.seen(), right);
      await next.unpublish();
      const { code, output } = await area.cache.run("verify");
      assert.equal(code, 0, output);
    });
  assert.equal(area.registry.log.blobGets().length, 0);
});

const layerHarms: readonly Harm[] = [
  [
    "an added file",
    (_, folder) => writeFileSync(join(folder, "conf/new"), ""),
    / is wrong: "conf\/new" should not be there$/m,
  ],
  ["a folder's mode", (_, folder) => chmodSync(join(folder, "conf/sub"), 0o700), /"conf\/sub" has mode 0700 instead/],
  ["swapped names", (_, folder) => swap(join(folder, "conf"), "a", "sub/c"), /" has other bytes than were written/],
  ["a link's target", (_, folder) => replaceLink(join(folder, "conf/link"), "b"), /"conf\/link" leads elsewhere/],
];

test(
  "what is wrong in an unpacked layer is told, and is no more after --repair and the next publish",
  REAL,
  async (t) => {
    await using area = await useVolumes();
    const right = area.seen();
    for (const [name, harm, says] of layerHarms)
      await t.test(name, async () => {
        harm(area.tree, area.layer);
        const { code, output } = await area.cache.run("verify --repair");
        assert.equal(code, 1, output);
        assert.match(output, says);
        const next = area.volume(true);
        await next.publish();
        assert.deepEqual(area.seen(), right);
        await next.unpublish();
        assert.equal(existsSync(join(area.layer, "conf/new")), false);
        const after = await area.cache.run("verify");
        assert.equal(after.code, 0, after.output);
      });
  },
);
