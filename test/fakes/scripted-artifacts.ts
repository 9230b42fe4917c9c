import type { ArtifactRequest, Artifacts, LeasedTree } from "../../src/artifact/index.ts";
import type { Tree } from "../../src/cache/index.ts";

type Patience = Parameters<Artifacts["present"]>[1];

/** Makes references present as a test says, and remembers who asked and who left. */
export class ScriptedArtifacts implements Pick<Artifacts, "cached" | "link" | "took" | "present" | "leave"> {
  readonly asked: ArtifactRequest[] = [];
  readonly withCached: string[] = [];
  readonly left: string[] = [];
  onPresent: (request: ArtifactRequest, patience: Patience) => Promise<Tree>;

  constructor(tree: Tree) {
    this.onPresent = () => Promise.resolve(tree);
  }

  /** What is found without asking anybody: nothing. */
  onCached: () => Promise<LeasedTree | undefined> = () => Promise.resolve(undefined);

  cached(): Promise<LeasedTree | undefined> {
    return this.onCached();
  }

  /** Whether it can be noted what a cached tree is called. */
  onTook: () => Promise<void> = () => Promise.resolve();

  link(): Promise<void> {
    return Promise.resolve();
  }

  took({ volume }: ArtifactRequest): Promise<void> {
    this.withCached.push(volume);
    return this.onTook();
  }

  present(request: ArtifactRequest, patience: Patience): Promise<Tree> {
    this.asked.push(request);
    return this.onPresent(request, patience);
  }

  leave(volume: string): void {
    this.left.push(volume);
  }
}
