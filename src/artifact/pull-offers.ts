import { createHash } from "node:crypto";
import type { DriverError } from "../base/index.ts";
import type { OfferedAccess } from "./worker-calls.ts";

/** What one volume's last call lets its pull show to registries. */
export interface VolumeOffer extends Omit<OfferedAccess, "id"> {
  /** None of it was let in: what follows for the volume's namespace. */
  readonly refused: (error: DriverError) => Promise<void>;
}

/** What the volumes that want one pull offer it, in the order in which they came. */
export class PullOffers {
  readonly #byVolume = new Map<string, VolumeOffer & { readonly id: number; readonly content: string }>();
  #lastId = 0;

  /** Takes what a volume's call brought along in place of what an earlier one did. Equal offers have one id. */
  set(volume: string, offer: VolumeOffer): void {
    const content = contentOf(offer);
    const id = this.#idOf(content) ?? ++this.#lastId;
    this.#byVolume.set(volume, { ...offer, id, content });
  }

  delete(volume: string): void {
    this.#byVolume.delete(volume);
  }

  /** What is shown now; undefined if nobody offers anything. */
  first(): OfferedAccess | undefined {
    const [offer] = this.#byVolume.values();
    return offer && { id: offer.id, hosts: offer.hosts, credentials: offer.credentials };
  }

  /** The volumes whose offer was refused; those whose later call brought another one are not among them. */
  async refused(id: number, error: DriverError): Promise<readonly string[]> {
    const refused = [...this.#byVolume].filter(([, offer]) => offer.id === id);
    for (const [, offer] of refused) await offer.refused(error);
    return refused.map(([volume]) => volume);
  }

  #idOf(content: string): number | undefined {
    for (const offer of this.#byVolume.values()) if (offer.content === content) return offer.id;
    return undefined;
  }
}

/** Equal for equal offers; a hash, so that secrets lie in memory once. */
function contentOf({ hosts, credentials }: VolumeOffer): string {
  return createHash("sha256").update(JSON.stringify({ hosts, credentials })).digest("base64");
}
