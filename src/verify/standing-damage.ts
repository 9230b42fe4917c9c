import type { Cache, TreeId, TreeRecord } from "../cache/index.ts";
import type { Fault } from "./verify-calls.ts";

/**
 * What is known to be wrong with trees, as `cache ls` shows it, whoever found it and when: once wrong bytes were moved
 * aside, there may be nothing left to compare a tree with. What is in `told` is left out.
 */
export async function findStandingDamage(cache: Cache, told: ReadonlySet<TreeId>): Promise<readonly Fault[]> {
  const { trees, leases } = cache;
  const faults: Fault[] = [];
  for (const id of await trees.ids()) {
    if (told.has(id) || (await isWhole(cache, id))) continue;
    // It may be on its way out of the cache.
    using _ = await leases.hold(id);
    const record = await trees.record(id);
    if (record === undefined || (await isWhole(cache, id))) continue;
    const damage = (await trees.find(id))?.damage ?? "its folder is gone";
    const says = describeMark({ ...record, damage });
    faults.push({ kind: "tree", id, reference: record.references.at(-1), says });
  }
  return faults;
}

/** What was found to be wrong with a tree, and when, if that is known. */
export function describeMark({ damage = "", damagedAt }: Pick<TreeRecord, "damage" | "damagedAt">): string {
  return damagedAt === undefined ? damage : `found damaged at ${new Date(damagedAt).toISOString()}: ${damage}`;
}

async function isWhole({ trees }: Cache, id: TreeId): Promise<boolean> {
  const tree = await trees.find(id);
  return tree !== undefined && tree.damage === undefined;
}
