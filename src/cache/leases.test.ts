import assert from "node:assert/strict";
import { test } from "node:test";
import type { TreeId } from "./layout.ts";
import { Leases } from "./leases.ts";

const tree = "1".repeat(64) as TreeId;
const other = "2".repeat(64) as TreeId;

test("what has a lease is not evicted, until the last one is released", async () => {
  const leases = new Leases();
  const taken: string[] = [];
  const evict = () => leases.evict(tree, async () => void taken.push("tree"));
  const [first, second] = [await leases.hold(tree), await leases.hold(tree)];
  assert.equal(await evict(), false);
  first.release();
  first.release();
  assert.deepEqual([leases.count(tree), await evict()], [1, false]);
  second.release();
  assert.deepEqual([leases.count(tree), await evict(), taken], [0, true, ["tree"]]);
});

test("who wants a lease during an eviction gets it when the thing is gone, and not of what others evict", async () => {
  const leases = new Leases();
  const renaming = Promise.withResolvers<void>();
  let isGone = false;
  const evicting = leases.evict(tree, async () => {
    await renaming.promise;
    isGone = true;
  });
  const held = leases.hold(tree).then(() => assert.equal(isGone, true));
  using _ = await leases.hold(other);
  assert.equal(isGone, false);
  renaming.resolve();
  await held;
  assert.equal(await evicting, true);
  assert.equal(await leases.evict(tree, async () => assert.fail()), false);
});

test("holders and evictors that come at once never meet", async () => {
  const leases = new Leases();
  let evicting = 0;
  let holding = 0;
  const evict = () =>
    leases.evict(tree, async () => {
      evicting++;
      for (let i = 0; i < 3; i++) {
        assert.deepEqual([evicting, holding], [1, 0]);
        await Promise.resolve();
      }
      evicting--;
    });
  const hold = async (rounds: number) => {
    using _ = await leases.hold(tree);
    holding++;
    for (let i = 0; i < rounds; i++) {
      assert.equal(evicting, 0);
      await Promise.resolve();
    }
    holding--;
  };
  await Promise.all(Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? evict() : hold(i % 7))));
  assert.deepEqual([evicting, holding, leases.count(tree)], [0, 0, 0]);
});

test("an eviction that fails holds nobody up, and is told", async () => {
  const leases = new Leases();
  const failing = leases.evict(tree, () => Promise.reject(new Error("EIO")));
  const held = leases.hold(tree);
  await assert.rejects(failing, /EIO/);
  (await held).release();
  assert.equal(await leases.evict(tree, () => Promise.resolve()), true);
});
