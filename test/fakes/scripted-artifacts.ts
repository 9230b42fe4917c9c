import type { ArtifactRequest, Artifacts } from "../../src/artifact/index.ts";
import type { Tree } from "../../src/cache/index.ts";

type Patience = Parameters<Artifacts["present"]>[1];

/** Makes references present as a test says, and remembers who asked and who left. */
export class ScriptedArtifacts implements Pick<Artifacts, "present" | "leave"> {
  readonly asked: ArtifactRequest[] = [];
  readonly left: string[] = [];
  onPresent: (request: ArtifactRequest, patience: Patience) => Promise<Tree>;

  constructor(tree: Tree) {
    this.onPresent = () => Promise.resolve(tree);
  }

  present(request: ArtifactRequest, patience: Patience): Promise<Tree> {
    this.asked.push(request);
    return this.onPresent(request, patience);
  }

  leave(volume: string): void {
    this.left.push(volume);
  }
}
