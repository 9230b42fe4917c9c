import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { describe, test } from "node:test";
import { file, folder, type Layer, symlink, useTree } from "../../test/helpers/tree-bench.ts";
import { DriverError } from "../base/index.ts";

describe("all layers of a tree together obey the limits, wherever they come from", () => {
  const limits = { maxBytes: 100, maxEntries: 4 };
  const refuses = async (place: ReturnType<typeof useTree>, layer: Layer, says: RegExp) => {
    await assert.rejects(place.add(layer), { name: "DriverError", kind: "refused", message: says });
  };

  test("entries", async () => {
    using place = useTree(limits);
    await place.add({ title: "a", tar: [folder("a"), file("a/x"), file("a/x")] });
    await place.add({ title: "b", tar: [file("b/x")] });
    await refuses(
      place,
      { title: "c", tar: [file("c/x")] },
      /layer "c": it takes all layers over the limit of 4 entries/,
    );
  });

  test("one layer under many titles counts each time", async () => {
    using place = useTree(limits);
    for (let i = 0; i < 4; i++) await place.add({ title: ".", tar: [folder("a")] });
    await refuses(place, { title: ".", tar: [folder("a")] }, /4 entries/);
  });

  test("bytes", async () => {
    using place = useTree(limits);
    await place.add({ title: "a", tar: [file("a/x", "x".repeat(60))] });
    await place.add({ title: "files", content: "x".repeat(200) });
    await refuses(place, { title: "b", tar: [file("b/x", "x".repeat(41))] }, /layer "b": .*100 unpacked bytes/);
  });

  test("folders that only titles imply", async () => {
    using place = useTree(limits);
    await place.add({ title: "1/2/3/4/file", content: "" });
    await place.add({ title: "1/2/3/4/other", content: "" });
    await refuses(place, { title: "5/file", content: "" }, /layer "5\/file": .*4 folders without entries/);
  });
});

describe("refused, with the path named", () => {
  const rows: readonly { name: string; layers: readonly Layer[]; says: RegExp }[] = [
    {
      name: "a file over a folder's file",
      layers: [
        { title: "a", tar: [file("a/x")] },
        { title: "a/x", content: "1" },
      ],
      says: /two layers make "a\/x"/,
    },
    {
      name: "a folder's file over a file",
      layers: [
        { title: "a/x", content: "1" },
        { title: "a", tar: [file("a/x")] },
      ],
      says: /two layers make "a\/x"/,
    },
    {
      name: "one file of two folders",
      layers: [
        { title: ".", tar: [file("x")] },
        { title: ".", tar: [file("x")] },
      ],
      says: /two layers make "x"/,
    },
    {
      name: "a file where a folder must be",
      layers: [
        { title: "a", tar: [file("a/x")] },
        { title: "a/x/y", content: "1" },
      ],
      says: /"a\/x" is a file or a link of one layer where another layer needs a folder/,
    },
    {
      name: "a folder where a file must be",
      layers: [
        { title: "a", tar: [folder("a/x")] },
        { title: "a/x", content: "1" },
      ],
      says: /two layers make "a\/x"/,
    },
    {
      name: "a file through a symlink",
      layers: [
        { title: "a", tar: [symlink("a/link", "/")] },
        { title: "a/link/etc/x", content: "1" },
      ],
      says: /"a\/link" is a file or a link/,
    },
    {
      name: "a folder through a symlink",
      layers: [
        { title: ".", tar: [symlink("a", "..")] },
        { title: "a", tar: [file("a/x")] },
      ],
      says: /"a" is a file or a link/,
    },
    {
      name: "a symlink over a folder",
      layers: [
        { title: "a/link/x", content: "1" },
        { title: "a", tar: [symlink("a/link", "/")] },
      ],
      says: /two layers make "a\/link"/,
    },
    {
      name: "an entry beside the title",
      layers: [{ title: "a", tar: [file("b")] }],
      says: /layer titled "a" holds "b", which is outside/,
    },
    {
      name: "an entry that begins like the title",
      layers: [{ title: "a", tar: [file("ab/c")] }],
      says: /holds "ab", which is outside/,
    },
    {
      name: "an entry above the title",
      layers: [{ title: "a/b", tar: [file("a/c")] }],
      says: /holds "a\/c", which is outside/,
    },
    {
      name: "an entry for the folder above the title",
      layers: [{ title: "a/b", tar: [folder("a"), file("a/b/c")] }],
      says: /layer titled "a\/b" holds "a", which is outside/,
    },
    {
      name: "an entry without the title's prefix",
      layers: [{ title: "a", tar: [file("x")] }],
      says: /holds "x", which is outside/,
    },
  ];
  for (const { name, layers, says } of rows) {
    test(name, async () => {
      using place = useTree();
      await assert.rejects(
        async () => {
          for (const layer of layers) await place.add(layer);
        },
        (error) => {
          assert.ok(error instanceof DriverError, String(error));
          assert.equal(error.kind, "refused");
          assert.match(error.message, says);
          return true;
        },
      );
      assert.ok(statSync(place.root).isDirectory());
    });
  }
});
