import assert from "node:assert/strict";
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { base256, gnuLong, paxEntry, type TarFields, tarEntry, tarOf } from "../fixtures/tar-builder.ts";
import { REAL } from "../integration/support.ts";
import { artifact, type BuiltLayer, fileLayer, tarLayer } from "../registry/index.ts";
import { good, HostileBench } from "./hostile-bench.ts";

type Entries = readonly (TarFields | Buffer)[];

const folder: TarFields = { name: "folder/", type: "5", mode: 0o755 };
const deepName = `${"d/".repeat(10_000)}f`;

function file(name: string | Buffer, data = "x"): TarFields {
  return { name, data };
}

function symlink(name: string, linkName: string): TarFields {
  return { name, type: "2", linkName };
}

function hardLink(name: string, linkName: string): TarFields {
  return { name, type: "1", linkName };
}

function tar(...entries: Entries): BuiltLayer {
  return tarLayer("folder", tarOf(folder, ...entries));
}

/** What is wrong, and the layers that have it: with the canary's path in them where they try to get there. */
interface Case {
  readonly says: RegExp;
  readonly layers: (canary: string) => readonly BuiltLayer[];
}

/** Of titles: each names the layer. */
const titles: Record<string, Case> = {
  "that climbs": { says: /"\.\.\/escaped".* leads out/, layers: () => [fileLayer("../escaped", "x")] },
  "that climbs in the middle": {
    says: /"a\/\.\.\/\.\.\/escaped".* leads out/,
    layers: () => [fileLayer("a/../../escaped", "x")],
  },
  "that climbs from a folder's tar": {
    says: /"\.\.\/folder".* leads out/,
    layers: () => [tarLayer("../folder", tarOf(folder))],
  },
  "that is absolute": {
    says: /canary\/escaped": its title is an absolute path/,
    layers: (canary) => [fileLayer(`${canary}/escaped`, "x")],
  },
  "of a file that is the volume itself": { says: /"\."/, layers: () => [fileLayer(".", "x")] },
  "with a NUL": { says: /"file\\x00\.txt".* NUL/, layers: () => [fileLayer("file\0.txt", "x")] },
  "10,000 folders deep": { says: /"d\/d\/.*….*" ?.*more than 255 parts/, layers: () => [fileLayer(deepName, "x")] },
  "with a part that is too long": {
    says: /"n+….*more than 255 bytes/,
    layers: () => [fileLayer("n".repeat(256), "x")],
  },
  "that is there twice": { says: /two layers .*"good"/, layers: () => [fileLayer("./good", "other")] },
  "of a file where a folder must be": {
    says: /"good" is a file .*"good\/inside"/,
    layers: () => [fileLayer("good/inside", "x")],
  },
  "of a file where a tar's folder must be": {
    says: /"folder" is a file .*"folder"/,
    layers: () => [fileLayer("folder", "x"), tar(file("folder/f"))],
  },
};

/** Of one tar in a folder's layer: each names the entry. */
const tars: Record<string, { readonly says: RegExp; readonly tar: (canary: string) => Entries }> = {
  "a name that climbs": {
    says: /entry "folder\/\.\.\/\.\.\/escaped": .*leads out/,
    tar: () => [file("folder/../../escaped")],
  },
  "a folder's name that climbs": {
    says: /entry "\.\.\/escaped\/": .*leads out/,
    tar: () => [{ name: "../escaped/", type: "5" }],
  },
  "a name that climbs as high as there are folders": {
    says: /entry "\.\.\/\.\..*canary\/file": .*leads out/,
    tar: (canary) => [gnuLong("L", `${"../".repeat(40)}${canary.slice(1)}/file`), file("short")],
  },
  "an absolute name": {
    says: /canary\/file": its name is an absolute path/,
    tar: (canary) => [paxEntry({ path: `${canary}/file` }), file("short")],
  },
  "a name outside of the title": {
    says: /titled "folder" holds "other", which is outside/,
    tar: () => [file("other/escaped")],
  },
  "a file through a symlink": {
    says: /entry "folder\/out\/escaped": .*through a symlink/,
    tar: (canary) => [symlink("folder/out", canary), file("folder/out/escaped")],
  },
  "a folder through a symlink": {
    says: /entry "folder\/out\/escaped\/": .*through a symlink/,
    tar: (canary) => [symlink("folder/out", canary), { name: "folder/out/escaped/", type: "5" }],
  },
  "a symlink through a symlink": {
    says: /entry "folder\/out\/escaped": .*through a symlink/,
    tar: (canary) => [symlink("folder/out", canary), symlink("folder/out/escaped", "/etc/passwd")],
  },
  "a file through a chain of symlinks": {
    says: /entry "folder\/a\/escaped": .*through a symlink/,
    tar: (canary) => [
      symlink("folder/c", canary),
      symlink("folder/b", "c"),
      symlink("folder/a", "b"),
      file("folder/a/escaped"),
    ],
  },
  "a file through a relative symlink that climbs": {
    says: /entry "folder\/up\/escaped": .*through a symlink/,
    tar: () => [symlink("folder/up", "../../../../.."), file("folder/up/escaped")],
  },
  "a file through a symlink to a folder of its own": {
    says: /entry "folder\/link\/f": .*through a symlink/,
    tar: () => [{ name: "folder/own/", type: "5" }, symlink("folder/link", "own"), file("folder/link/f")],
  },
  "a file through a symlink to itself": {
    says: /entry "folder\/a\/f": .*through a symlink/,
    tar: () => [symlink("folder/a", "a"), file("folder/a/f")],
  },
  "a file through a hard link to a symlink": {
    says: /entry "folder\/b\/escaped": .*through a symlink/,
    tar: (canary) => [symlink("folder/a", canary), hardLink("folder/b", "folder/a"), file("folder/b/escaped")],
  },
  "a hard link that climbs": {
    says: /entry "folder\/h": its target "\.\.\/\.\.\/etc\/passwd" leads out/,
    tar: () => [hardLink("folder/h", "../../etc/passwd")],
  },
  "a hard link to an absolute path": {
    says: /entry "folder\/h": its target ".*canary\/file" is an absolute path/,
    tar: (canary) => [paxEntry({ linkpath: `${canary}/file` }), hardLink("folder/h", "")],
  },
  "a hard link through a symlink": {
    says: /entry "folder\/h": .*through a symlink/,
    tar: (canary) => [symlink("folder/out", canary), hardLink("folder/h", "folder/out/file")],
  },
  "a hard link to a folder": { says: /entry "folder\/h": .*to a folder/, tar: () => [hardLink("folder/h", "folder")] },
  "a hard link to what comes later": {
    says: /entry "folder\/h": .*not in the tar before it/,
    tar: () => [hardLink("folder/h", "folder/later"), file("folder/later")],
  },
  "a name with a NUL": {
    says: /entry "folder\/f\\x00\.txt": .*NUL/,
    tar: () => [paxEntry({ path: "folder/f\0.txt" }), file("short")],
  },
  "a long name with a NUL": {
    says: /entry "folder\/f\\x00\.txt": .*NUL/,
    tar: () => [gnuLong("L", "folder/f\0.txt"), file("short")],
  },
  "a link's target with a NUL": {
    says: /entry "folder\/l": .*NUL/,
    tar: () => [paxEntry({ linkpath: "a\0b" }), symlink("folder/l", "")],
  },
  "a symlink without a target": { says: /entry "folder\/l": .*without a target/, tar: () => [symlink("folder/l", "")] },
  "10,000 folders deep": {
    says: /entry "folder\/d\/d.*….*": .*more than 255 parts/,
    tar: () => [gnuLong("L", `folder/${deepName}`), file("short")],
  },
  "a name of a mebibyte": {
    says: /entry "folder\/n+….*": .*more than 255 bytes/,
    tar: () => [gnuLong("L", `folder/${"n".repeat(1_000_000)}`), file("short")],
  },
  "a path of more than 4,095 bytes": {
    says: /entry "folder\/p+….*": .*more than 4095 bytes/,
    tar: () => [gnuLong("L", `folder/${`${"p".repeat(200)}/`.repeat(21)}f`), file("short")],
  },
  "a header without end": { says: /header of more than 1 MiB/, tar: () => [{ name: "x", type: "x", size: 2 ** 32 }] },
  "a file where a folder must be": {
    says: /entry "folder\/f\/inside": .*no folder/,
    tar: () => [file("folder/f"), file("folder/f/inside")],
  },
  "a file where a full folder is": {
    says: /entry "folder\/sub": .*a folder is that has something in it/,
    tar: () => [file("folder/sub/f"), file("folder/sub")],
  },
  "a file that stands for the volume itself": { says: /entry "\.": it stands for/, tar: () => [file(".")] },
  "a negative size": {
    says: /entry "folder\/f": its size/,
    tar: () => [{ name: "folder/f", size: base256(-512) }],
  },
  "a size of 4 EiB": {
    says: /entry "folder\/f": its size/,
    tar: () => [{ name: "folder/f", size: base256(2n ** 62n) }],
  },
  "a size of a tebibyte": {
    says: /entry "folder\/f": .*over the limit of \d+ unpacked bytes; --max-unpack-ratio/,
    tar: () => [{ name: "folder/f", size: base256(2n ** 40n) }],
  },
  "a size that is no number": {
    says: /entry "folder\/f": its size is no number/,
    tar: () => [paxEntry({ size: "9".repeat(400) }), file("folder/f")],
  },
  "more content in the header than in the tar": {
    says: /"folder".*cut off in the middle/,
    tar: () => [{ name: "folder/f", data: "x", size: 100_000 }],
  },
  "a damaged header": {
    says: /"folder".*wrong checksum/,
    tar: () => [{ name: "folder/f", checksum: 1 }],
  },
  "a PAX header that lies about its length": {
    says: /"folder"/,
    tar: () => [tarEntry({ name: "x", type: "x", data: "99 path=folder/f\n" }), file("folder/f")],
  },
};

/** Of several layers, none of which is hostile alone. */
const acrossLayers: Record<string, Case> = {
  "a file below another layer's symlink": {
    says: /"folder\/out" is a file or a link of one layer/,
    layers: (canary) => [tar(symlink("folder/out", canary)), fileLayer("folder/out/escaped", "x")],
  },
  "a symlink where an earlier layer has a file below it": {
    says: /"folder\/out"/,
    layers: (canary) => [fileLayer("folder/out/escaped", "x"), tar(symlink("folder/out", canary))],
  },
  "a tar's file below another tar's symlink": {
    says: /"folder\/out" is a file or a link of one layer/,
    layers: (canary) => [tar(symlink("folder/out", canary)), tar(file("folder/out/escaped"))],
  },
  "a tar's folder where another tar has a symlink": {
    says: /"folder\/out" is a file or a link of one layer/,
    layers: (canary) => [
      tar(symlink("folder/out", canary)),
      tar({ name: "folder/out/", type: "5", mode: 0o777, mtime: 1 }),
    ],
  },
  "a tar whose own folder is another tar's symlink": {
    says: /"folder" is a file or a link of one layer/,
    layers: (canary) => [tarLayer("folder", tarOf(symlink("folder", canary))), tar(file("folder/escaped"))],
  },
  "a file that another layer's tar has, too": {
    says: /"folder\/f"/,
    layers: () => [tar(file("folder/f")), fileLayer("folder/f", "other")],
  },
  "a file below a file of another layer's tar": {
    says: /"folder\/f" is a file or a link of one layer/,
    layers: () => [tar(file("folder/f")), fileLayer("folder/f/inside", "x")],
  },
  "a chain of symlinks through three layers": {
    says: /"folder\/a" is a file or a link of one layer/,
    layers: (canary) => [
      tar(symlink("folder/b", canary)),
      tar(symlink("folder/a", "b")),
      tar(file("folder/a/escaped")),
    ],
  },
};

test("hostile titles and tars are refused, with nothing left behind", REAL, async (t) => {
  await using bench = await HostileBench.start();
  const { canary } = bench;
  const refuses = (layers: readonly BuiltLayer[], says: RegExp) =>
    bench.refuses(artifact([good, ...layers]), { code: "FAILED_PRECONDITION", says });
  for (const [name, { says, layers }] of Object.entries(titles)) {
    await t.test(`a title ${name}`, () => refuses(layers(canary), says));
  }
  for (const [name, { says, tar: entriesOf }] of Object.entries(tars)) {
    await t.test(`a tar with ${name}`, () => refuses([tar(...entriesOf(canary))], says));
  }
  for (const [name, { says, layers }] of Object.entries(acrossLayers)) {
    await t.test(`across layers: ${name}`, () => refuses(layers(canary), says));
  }
  await t.test("a tar that is nothing at all", () => refuses([tarLayer("folder", Buffer.alloc(0))], /"folder".*empty/));
  await t.test("a tar that is text", () =>
    refuses([tarLayer("folder", Buffer.alloc(2048, "text"))], /"folder".*no tar/),
  );

  await t.test("a link to a file outside is replaced, never written through", async () => {
    const out = join(canary, "file");
    const links = [symlink("folder/a", out), symlink("folder/b", out), hardLink("folder/c", "folder/b")];
    const files = [file("folder/a", "a"), file("folder/c", "c")];
    const served = await bench.serves(artifact([good, tar(...links, ...files)]), async (target) => {
      assert.equal(await readlink(join(target, "folder/b")), out);
    });
    assert.deepEqual(served, { good: "good\n", "folder/a": "a", "folder/c": "c" });
  });
  await t.test("a link to a folder outside is replaced by a folder, whose mode is its own", async () => {
    const hostile = [symlink("folder/out", canary), { name: "folder/out/", type: "5", mode: 0o777 }];
    const served = await bench.serves(artifact([tar(...hostile, file("folder/out/f", "f"))]), async (target) => {
      assert.equal((await lstat(join(target, "folder/out"))).mode & 0o7777, 0o777);
    });
    assert.deepEqual(served, { "folder/out/f": "f" });
  });
  await t.test("the driver goes on serving", () => bench.assertServing());
});
