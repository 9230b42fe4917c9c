import assert from "node:assert/strict";
import { test } from "node:test";
import { UnpackBudget } from "./unpack-budget.ts";

const name = Buffer.from("some/entry");
const budget = () => new UnpackBudget({ maxBytes: 1000, maxEntries: 10 }, "the layer");
const counts = (changes = {}) => ({ entries: 1, contentBytes: 0, impliedFolders: 0, ...changes });

const over: Record<string, { take: (from: UnpackBudget) => void; says: RegExp }> = {
  entries: { take: (from) => times(11, () => from.takeEntry(name, 0)), says: /"some\/entry".*limit of 10 entries/ },
  bytes: { take: (from) => times(2, () => from.takeEntry(name, 501)), says: /limit of 1000 unpacked bytes/ },
  "implied folders": {
    take: (from) => times(11, () => from.takeImpliedFolder(name)),
    says: /limit of 10 folders without entries/,
  },
  "entries of layers": {
    take: (from) => times(3, () => from.takeLayer("a/title", counts({ entries: 4 }))),
    says: /^layer "a\/title": it takes the layer over the limit of 10 entries$/,
  },
  "bytes of layers": {
    take: (from) => times(2, () => from.takeLayer("t", counts({ contentBytes: 600 }))),
    says: /layer "t": .*1000 unpacked bytes; --max-unpack-ratio/,
  },
  "implied folders of layers": {
    take: (from) => times(2, () => from.takeLayer("t", counts({ impliedFolders: 6 }))),
    says: /layer "t": .*10 folders/,
  },
  "gzip members": {
    take: (from) => times(5000, () => from.takeTarBytes(0)),
    says: /limit of 1000 unpacked bytes, most of them beside its files/,
  },
  "folders of titles": {
    take: (from) => times(11, () => from.takeTitleFolder("x/y")),
    says: /layer "x\/y": .*10 folders/,
  },
};
for (const [what, { take, says }] of Object.entries(over)) {
  test(`too much of one is refused: ${what}`, () => {
    assert.throws(() => take(budget()), { name: "DriverError", kind: "refused", message: says });
  });
}

test("what was given back can be taken again", () => {
  const shared = budget();
  for (let tries = 0; tries < 20; tries++) {
    const own = budget();
    for (const each of [own, shared]) {
      each.takeEntry(name, 900);
      for (let i = 0; i < 9; i++) each.takeImpliedFolder(name);
      each.takeTarBytes(3_000_000);
    }
    shared.giveBack(own);
  }
  shared.takeEntry(name, 1000);
  assert.throws(() => shared.takeEntry(name, 1), { kind: "refused" });
});

function times(count: number, run: () => void): void {
  for (let i = 0; i < count; i++) run();
}
