import assert from "node:assert/strict";
import { chmodSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { gnuLong, paxEntry, tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, inParts, listTree, rowsOf, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { digestOf } from "../oci/index.ts";
import { UnpackBudget } from "./unpack-budget.ts";

const file = (name: string, size = 1) => tarEntry({ name, data: Buffer.alloc(size, "x") });

test("counts entries and what it leaves out", async () => {
  using area = createUnpackArea();
  const special = ["3", "4", "6"].map((type) => tarEntry({ name: `dev/${type}`, type }));
  const linked = tarEntry({ name: "linked", type: "1", linkName: "dev/3" });
  const overFile = tarEntry({ name: "kept", type: "6" });
  const { skipped, index } = await unpackBytes(
    tarOf(...special, linked, file("kept", 9), overFile, file("dev/4")),
    area.root,
  );
  assert.deepEqual(index.counts, { entries: 7, contentBytes: 10, impliedFolders: 1 });
  assert.equal(skipped, 5);
  assert.deepEqual(
    listTree(area.root).map((entry) => `${entry.type} ${entry.path}`),
    ["folder dev", "file dev/4", "file kept"],
  );
});

// A folder in one with the setgid bit is made with it.
for (const [umask, rootMode] of [
  [0o000, 0o755],
  [0o022, 0o755],
  [0o077, 0o755],
  [0o022, 0o2755],
] as const) {
  const what = `the umask ${umask.toString(8)} and the folder above ${rootMode.toString(8)}`;
  test(`modes and times are the artifact's, ${what}`, async () => {
    using area = createUnpackArea();
    chmodSync(area.root, rootMode);
    const modes = [0o000, 0o222, 0o600, 0o755, 0o7777];
    const both = ["a", "b"].flatMap((name) => modes.map((mode) => ({ folder: `${name}-${mode}`, mode })));
    const entries = both.flatMap(({ folder, mode }) => [
      tarEntry({ name: folder, type: "5", mode, mtime: 1000 + mode }),
      tarEntry({ name: `${folder}/file`, data: "x", mode, mtime: 2000 + mode }),
    ]);
    const twice = [0o755, 0o711].map((mode) => tarEntry({ name: "twice", type: "5", mode }));
    const implied = ["implied/file", "implied/folder/file"].map((name) => file(name));
    const umaskBefore = process.umask(umask);
    try {
      await unpackBytes(tarOf(...entries, ...twice, ...implied), area.root);
    } finally {
      process.umask(umaskBefore);
    }
    for (const { folder: name, mode } of both) {
      const folder = lstatSync(join(area.root, name));
      const inside = lstatSync(join(area.root, name, "file"));
      assert.equal(folder.mode & 0o7777, (mode & 0o777) | 0o555);
      assert.equal(inside.mode & 0o7777, (mode & 0o777) | 0o444);
      assert.deepEqual([folder.mtimeMs, inside.mtimeMs], [(1000 + mode) * 1000, (2000 + mode) * 1000]);
    }
    for (const name of ["twice", "implied", "implied/folder", ""])
      assert.equal(lstatSync(join(area.root, name)).mode & 0o7777, 0o755);
  });
}

test("the longest path that the kernel takes by itself is made below any folder", async () => {
  using area = createUnpackArea();
  const name = `${`${"p".repeat(255)}/`.repeat(15)}${"q".repeat(253)}`;
  const { index } = await unpackBytes(
    tarOf(
      paxEntry({ path: `${name}-f` }),
      file("x", 5),
      paxEntry({ path: `${name}-d/` }),
      tarEntry({ name: "x", type: "5", mode: 0o711 }),
      paxEntry({ path: `${name}-l`, linkpath: `${name}-f` }),
      tarEntry({ name: "x", type: "1" }),
    ),
    area.root,
  );
  const last = rowsOf(index).at(-1);
  assert.equal(last?.path.length, 4095);
  assert.equal(last.isHardLink, true);
  const deep = `${"p".repeat(255)}/`.repeat(15);
  // Too long for one call here, too: this way leads through a folder half-way.
  const found = readDeep(area.root, deep);
  assert.deepEqual(
    found.sort(),
    ["d", "f", "l"].map((end) => `${"q".repeat(253)}-${end}`),
  );
});

test("a file whose bytes come in many parts is whole", async () => {
  using area = createUnpackArea();
  const data = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
  const { index } = await unpackBytes(gzipSync(tarOf(tarEntry({ name: "f", data }))), area.root, { partBytes: 100 });
  assert.ok(readFileSync(join(area.root, "f")).equals(data));
  assert.equal(`sha256:${rowsOf(index).at(-1)?.contentHash?.toString("hex")}`, digestOf(data));
});

test("the uncompressed tar must be the one that the manifest says", async () => {
  const tar = Buffer.concat([tarOf(file("f")), Buffer.alloc(5000)]);
  for (const algorithm of ["sha256", "sha512"] as const) {
    using area = createUnpackArea();
    const right = digestOf(tar, algorithm);
    await unpackBytes(gzipSync(tar), area.root, { uncompressedDigest: right });
    using other = createUnpackArea();
    const wrong = unpackBytes(gzipSync(tarOf(file("g"))), other.root, { uncompressedDigest: right });
    await assert.rejects(wrong, { kind: "corrupt", message: new RegExp(right) });
  }
});

test("limits: exactly as much is unpacked, more is refused before it is written", async () => {
  const limits = { maxBytes: 1000, maxEntries: 3 };
  const unpack = async (...entries: Buffer[]) => {
    using area = createUnpackArea();
    const budgets = [new UnpackBudget(limits, "the layer")];
    try {
      await unpackBytes(tarOf(...entries), area.root, { budgets });
      return "unpacked";
    } catch (error) {
      assert.equal(readdirSync(area.root).includes("last"), false);
      return error instanceof Error ? error.message : "";
    }
  };
  assert.equal(await unpack(file("a", 400), file("b", 600)), "unpacked");
  assert.match(
    await unpack(file("a", 400), file("last", 601)),
    /"last": it takes the layer over the limit of 1000 unpacked bytes/,
  );
  assert.equal(await unpack(file("a"), file("a"), file("a")), "unpacked");
  assert.match(await unpack(file("a"), file("a"), file("a"), file("last")), /"last": .*limit of 3 entries/);
  assert.equal(await unpack(file("1/2/3/a")), "unpacked");
  assert.match(await unpack(file("1/2/3/last/a")), /limit of 3 folders without entries/);
});

test("limits: layers that share a budget obey it together", async () => {
  const shared = new UnpackBudget({ maxBytes: 1000, maxEntries: 10 }, "all tar layers together");
  using first = createUnpackArea();
  using second = createUnpackArea();
  const own = () => new UnpackBudget({ maxBytes: 1000, maxEntries: 10 }, "the layer");
  await unpackBytes(tarOf(file("a", 600)), first.root, { budgets: [own(), shared] });
  const unpacking = unpackBytes(tarOf(file("b", 600)), second.root, { budgets: [own(), shared] });
  await assert.rejects(unpacking, {
    kind: "refused",
    message: /"b": it takes all tar layers together over the limit/,
  });
});

test("limits: headers without end are refused, many entries with long headers are not", async () => {
  using area = createUnpackArea();
  const budget = () => [new UnpackBudget({ maxBytes: 1000, maxEntries: 1000 }, "the layer")];
  const long = Array.from({ length: 500 }, (_, i) => [gnuLong("L", `${"n".repeat(200)}/`.repeat(15) + i), file("x")]);
  await unpackBytes(tarOf(...long.flat()), area.root, { budgets: budget() });
  using other = createUnpackArea();
  const endless = Array.from({ length: 10 }, () => paxEntry({ comment: "c".repeat(900_000) }, "g"));
  const unpacking = unpackBytes(tarOf(...endless, file("x")), other.root, { budgets: budget() });
  await assert.rejects(unpacking, { kind: "refused", message: /most of them beside its files/ });
});

test("stops between two parts when it is cancelled", async () => {
  using area = createUnpackArea();
  let isWanted = true;
  const tar = tarOf(...Array.from({ length: 100 }, (_, i) => file(`f${i}`, 1000)));
  async function* source(): AsyncGenerator<Buffer> {
    for await (const part of inParts(tar, 10_000)) {
      yield part;
      isWanted = false;
    }
  }
  const unwanted = new Error("nobody wants it");
  const throwIfUnwanted = () => {
    if (!isWanted) throw unwanted;
  };
  const unpacking = unpackBytes(tar, area.root, { source: source(), throwIfUnwanted });
  await assert.rejects(unpacking, (error) => error === unwanted);
  assert.ok(readdirSync(area.root).length < 20);
});

test("is stopped between two gzip members, too, however many are in one part of the source", async () => {
  using area = createUnpackArea();
  const members = Buffer.concat(Array<Buffer>(10_000).fill(gzipSync("")));
  let asked = 0;
  const throwIfUnwanted = () => void asked++;
  const unpacking = unpackBytes(members, area.root, { throwIfUnwanted, partBytes: members.length });
  await assert.rejects(unpacking, { kind: "refused", message: /it is empty/ });
  assert.equal(asked, 9_999);
});

test("a full folder is not fresh: nothing in it is written over or followed", async () => {
  using area = createUnpackArea();
  await unpackBytes(tarOf(file("a", 3), tarEntry({ name: "s", type: "2", linkName: "a" })), area.root);
  for (const name of ["a", "s"]) {
    await assert.rejects(unpackBytes(tarOf(file(name, 5)), area.root), { kind: "internal", message: /EEXIST/ });
  }
  assert.equal(readFileSync(join(area.root, "a"), "utf8"), "xxx");
});

function readDeep(root: string, path: string): string[] {
  const cwd = process.cwd();
  try {
    process.chdir(root);
    for (const part of path.split("/").filter(Boolean)) process.chdir(part);
    return readdirSync(".");
  } finally {
    process.chdir(cwd);
  }
}
