import { quoteName } from "../unpack/index.ts";

/** What can be wrong with something in a tree: of one, and of several. */
const KINDS = {
  bytes: ["has wrong bytes", "have wrong bytes"],
  type: ["is of another type than it should be", "are of other types than they should be"],
  mode: ["has another mode than it should", "have other modes than they should"],
  owner: ["belongs to another user than it should", "belong to other users than they should"],
  target: ["leads elsewhere than it should", "lead elsewhere than they should"],
  missing: ["is missing", "are missing"],
  extra: ["should not be there", "should not be there"],
} as const;

/** In what something in a tree is wrong. */
export type TreeFaultKind = keyof typeof KINDS;

/** What is wrong with one tree: there may be a million faults. */
export class TreeFaults {
  readonly #kinds = new Map<
    TreeFaultKind,
    { readonly first: Buffer; readonly says: string | undefined; count: number }
  >();

  /** Notes what is wrong with a path; `says` tells it more exactly than its kind does. */
  add(kind: TreeFaultKind, path: Buffer, says?: string): void {
    const known = this.#kinds.get(kind);
    if (known === undefined) this.#kinds.set(kind, { first: Buffer.from(path), says, count: 1 });
    else known.count++;
  }

  /** In words, one of each kind by its name. */
  get texts(): readonly string[] {
    return (Object.keys(KINDS) as TreeFaultKind[]).flatMap((kind) => {
      const found = this.#kinds.get(kind);
      if (found === undefined) return [];
      const [one, several] = KINDS[kind];
      const says = found.count === 1 ? (found.says ?? one) : `and ${found.count - 1} more ${several}`;
      return `${found.first.length === 0 ? "it" : quoteName(found.first)} ${says}`;
    });
  }
}
