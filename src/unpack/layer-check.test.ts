import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs, {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { paxEntry, tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { useImmutable, whyNoImmutable } from "../../test/helpers/immutable.ts";
import { FileHasher } from "../base/index.ts";
import { checkLayer } from "./layer-check.ts";
import { writeLayerIndex } from "./layer-index-file.ts";

const FAR = 2 ** 39 + 17;
const oddName = Buffer.from([0x66, 0xff, 0x21]);
const layer = tarOf(
  tarEntry({ name: "d/", type: "5" }),
  tarEntry({ name: "d/file", data: "content" }),
  tarEntry({ name: "d/hard", type: "1", linkName: "d/file" }),
  tarEntry({ name: "link", type: "2", linkName: "d/file" }),
  tarEntry({ name: "empty" }),
  tarEntry({ name: oddName, data: "odd" }),
  // So large that nobody could read it.
  paxEntry({
    "GNU.sparse.map": `0,6,${FAR},4,${FAR + 5_000},2,${FAR + 40_000},3`,
    "GNU.sparse.realsize": `${2 ** 40}`,
  }),
  tarEntry({ name: "sparse", data: ["sparse", "more", "20", "end"].map((data) => data.padEnd(512, "\0")).join("") }),
  tarEntry({ name: "sparse too", type: "1", linkName: "sparse" }),
  paxEntry({ "GNU.sparse.map": "9,0", "GNU.sparse.realsize": `${2 ** 41}` }),
  tarEntry({ name: "hole" }),
  // No tool writes its parts in such an order: of this one the size is all that is known.
  paxEntry({ "GNU.sparse.map": "90000,1,0,1,90000,1", "GNU.sparse.realsize": `${2 ** 40}` }),
  tarEntry({ name: "odd sparse", data: "x".repeat(1536) }),
);

function writeAt(path: string, at: number): void {
  const file = openSync(path, "r+");
  writeSync(file, "X", at);
  closeSync(file);
}

/** Unpacks the layer, lets something happen to it, and says what a check finds. */
async function faultsAfter(harm: (root: string, index: string) => void, look?: (root: string) => void) {
  using area = createUnpackArea();
  const indexFile = join(area.folder, "index");
  writeLayerIndex((await unpackBytes(layer, area.root)).index, indexFile);
  harm(area.root, indexFile);
  const faults: string[] = [];
  using hasher = new FileHasher({ signal: new AbortController().signal });
  await checkLayer({
    indexFile,
    folder: area.root,
    hasher,
    setsModes: look !== undefined,
    onFault: ({ kind, path, says }) => faults.push(`${path.toString("latin1")} ${says}${kind === "bytes" ? " #" : ""}`),
  });
  look?.(area.root);
  return faults;
}

type Harm = readonly [name: string, harm: (root: string, index: string) => void, says: readonly string[]];
const harms: readonly Harm[] = [
  ["nothing", () => undefined, []],
  [
    "another byte, seen by both names",
    (root) => writeFileSync(join(root, "d/file"), "Content"),
    ["d/file has other bytes than were written #", "d/hard has other bytes than were written #"],
  ],
  [
    "a cut file",
    (root) => truncateSync(join(root, "d/hard"), 3),
    ["d/file has 3 bytes instead of 7 #", "d/hard has 3 bytes instead of 7 #"],
  ],
  [
    "a cut sparse file",
    (root) => truncateSync(join(root, "sparse"), 3),
    [`sparse has 3 bytes instead of ${2 ** 40} #`, `sparse too has 3 bytes instead of ${2 ** 40} #`],
  ],
  ...[0, 5, FAR + 3, FAR + 5_001, FAR + 40_002].map(
    (at): Harm => [
      `another byte at ${at} of a sparse file`,
      (root) => writeAt(join(root, "sparse"), at),
      ["sparse has other bytes than were written #", "sparse too has other bytes than were written #"],
    ],
  ),
  ["a file that is gone", (root) => rmSync(join(root, "empty")), ["empty is missing"]],
  [
    "a name that is no text",
    (root) => writeFileSync(Buffer.concat([Buffer.from(`${root}/`), oddName]), "ood"),
    ["f\xff! has other bytes than were written #"],
  ],
  [
    "a folder that is gone",
    (root) => rmSync(join(root, "d"), { recursive: true }),
    ["d is missing", "d/file is missing", "d/hard is missing"],
  ],
  [
    "a link where the layer's own folder was",
    (root) => {
      renameSync(root, `${root}.elsewhere`);
      writeFileSync(`${root}.elsewhere/of-others`, "");
      symlinkSync(`${root}.elsewhere`, root);
    },
    [" is a symlink, and no folder"],
  ],
  [
    "a link where a folder was, to one with the same names",
    (root) => {
      renameSync(join(root, "d"), `${root}.elsewhere`);
      symlinkSync(`${root}.elsewhere`, join(root, "d"));
    },
    ["d is no folder any more", "d/file is missing", "d/hard is missing"],
  ],
  [
    "a link where a file was",
    (root) => {
      rmSync(join(root, "empty"));
      symlinkSync("d/file", join(root, "empty"));
    },
    ["empty is no file any more"],
  ],
  [
    "a folder where a link was",
    (root) => {
      rmSync(join(root, "link"));
      mkdirSync(join(root, "link"));
    },
    ["link is no symlink any more"],
  ],
  [
    "another mode, seen by both names",
    (root) => chmodSync(join(root, "d/file"), 0o4777),
    ["d/file has mode 4777 instead of 0644", "d/hard has mode 4777 instead of 0644"],
  ],
  ["another mode of a folder", (root) => chmodSync(join(root, "d"), 0o700), ["d has mode 0700 instead of 0755"]],
  [
    "another target",
    (root) => {
      rmSync(join(root, "link"));
      symlinkSync("d/hard", join(root, "link"));
    },
    ["link leads elsewhere than it should"],
  ],
  [
    "swapped names",
    (root) => {
      renameSync(join(root, "empty"), join(root, "swapped"));
      renameSync(join(root, "link"), join(root, "empty"));
      renameSync(join(root, "swapped"), join(root, "link"));
    },
    ["empty is no file any more", "link is no symlink any more"],
  ],
  [
    "a file, and a folder with something in it, that were added",
    (root) => {
      writeFileSync(join(root, "d/new"), "");
      mkdirSync(join(root, "more/of/it"), { recursive: true });
    },
    ["d/new should not be there", "more should not be there"],
  ],
  [
    "a cut index",
    (_, index) => truncateSync(index, 100),
    [" has no index that can be read: cannot read the index of an unpacked layer: it is not as long as it should be"],
  ],
  ["no index", (_, index) => rmSync(index), [" has no index that can be read: ENOENT"]],
  [
    "a link where the index was",
    (_, index) => {
      renameSync(index, `${index}.elsewhere`);
      symlinkSync(`${index}.elsewhere`, index);
    },
    [" has no index that can be read: cannot read the index of an unpacked layer: a symlink is in its place"],
  ],
  [
    "a FIFO where the index was",
    (_, index) => {
      rmSync(index);
      execFileSync("mkfifo", [index]);
    },
    [" has no index that can be read: cannot read the index of an unpacked layer: it is no file"],
  ],
];
for (const [name, harm, says] of harms) {
  test(`a layer that is checked: ${name}`, async () => assert.deepEqual((await faultsAfter(harm)).sort(), says));
}

test("a check sets modes right if it is to, and tells them all the same", async () => {
  const modes: number[] = [];
  const look = (root: string) => modes.push(...["d", "d/hard"].map((path) => statSync(join(root, path)).mode & 0o7777));
  const harm = (root: string) => {
    chmodSync(join(root, "d/file"), 0o600);
    chmodSync(join(root, "d"), 0o777);
  };
  assert.deepEqual(await faultsAfter(harm, look), [
    "d has mode 0777 instead of 0755",
    "d/file has mode 0600 instead of 0644",
  ]);
  assert.deepEqual(modes, [0o755, 0o644]);
});

test("no mode is set behind a link that is where a folder was", async () => {
  const modes: number[] = [];
  const look = (root: string) => modes.push(statSync(`${root}.elsewhere/file`).mode & 0o7777);
  const harm = (root: string) => {
    renameSync(join(root, "d"), `${root}.elsewhere`);
    chmodSync(`${root}.elsewhere/file`, 0o600);
    symlinkSync(`${root}.elsewhere`, join(root, "d"));
  };
  await faultsAfter(harm, look);
  assert.deepEqual(modes, [0o600]);
});

test("a mode that cannot be set right is told, and nothing else", { skip: whyNoImmutable() }, async () => {
  using undo = new DisposableStack();
  const harm = (root: string) => {
    chmodSync(join(root, "d/file"), 0o600);
    undo.use(useImmutable(join(root, "d/file")));
  };
  assert.deepEqual(await faultsAfter(harm, () => undo.dispose()), [
    "d/file has mode 0600 instead of 0644, and cannot be set right (EPERM)",
    "d/hard has mode 0600 instead of 0644, and cannot be set right (EPERM)",
  ]);
});

for (const [call, path, says] of [
  ["readlinkSync", "link", "link cannot be read: EIO"],
  ["readdirSync", "d", "d cannot be read: EIO"],
] as const)
  test(`where the disk fails in one thing (${call}), that is told, and what else is wrong`, async (t) => {
    const harm = (root: string) => {
      rmSync(join(root, "empty"));
      writeFileSync(join(root, "new"), "");
      const real = fs[call] as (path: fs.PathLike, options: object) => unknown;
      t.mock.method(fs, call, (at: fs.PathLike, options: object) => {
        if (at.toString() === join(root, path)) throw Object.assign(new Error("it fails"), { code: "EIO" });
        return real(at, options);
      });
      syncBuiltinESMExports();
    };
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    assert.deepEqual((await faultsAfter(harm)).sort(), [says, "empty is missing", "new should not be there"].sort());
  });

test("an index of a driver that did not note what symlinks lead to is right with any target", async () => {
  using area = createUnpackArea();
  const indexFile = join(area.folder, "index");
  const { index } = await unpackBytes(tarOf(tarEntry({ name: "link", type: "2", linkName: "a" })), area.root);
  index.put(1, { type: "symlink", mode: 0o777, mtime: 0 });
  writeLayerIndex(index, indexFile);
  rmSync(join(area.root, "link"));
  symlinkSync("b", join(area.root, "link"));
  using hasher = new FileHasher({ signal: new AbortController().signal });
  const onFault = ({ says }: { readonly says: string }) => assert.fail(says);
  await checkLayer({ indexFile, folder: area.root, hasher, setsModes: false, onFault });
});

test("a check that is cancelled rejects, and finds nothing", async () => {
  using area = createUnpackArea();
  const indexFile = join(area.folder, "index");
  writeLayerIndex((await unpackBytes(layer, area.root)).index, indexFile);
  const signal = AbortSignal.abort(new Error("enough"));
  using hasher = new FileHasher({ signal });
  const onFault = () => assert.fail("a fault");
  await assert.rejects(checkLayer({ indexFile, folder: area.root, hasher, setsModes: false, onFault }), /enough/);
});
