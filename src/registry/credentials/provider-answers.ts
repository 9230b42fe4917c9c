import type { Clock } from "../../base/index.ts";
import type { Credential } from "../credential.ts";
import { loginsFor, type ProviderAnswer, type ProviderCacheKey } from "./provider-plugin.ts";
import { TimedMap } from "./timed-map.ts";

/** A plugin, and the image that it is asked about. */
export interface ProviderQuestion {
  /** The plugin's name. */
  readonly name: string;
  /** `registry/repository`. */
  readonly image: string;
}

const cacheKeys: readonly ProviderCacheKey[] = ["Image", "Registry", "Global"];

/** The answers of credential provider plugins, for as long and for as many images as they said. */
export class ProviderAnswers {
  readonly #answers: TimedMap<ProviderAnswer>;

  constructor(clock: Clock) {
    this.#answers = new TimedMap(clock);
  }

  /** The logins of an answer that may be used again for this image; undefined if there is none. */
  find(question: ProviderQuestion, source: string): Credential[] | undefined {
    for (const cacheKey of cacheKeys) {
      const answer = this.#answers.get(keyOf(question, cacheKey));
      if (answer !== undefined) return loginsFor(answer, question.image, source);
    }
    return undefined;
  }

  /** Whatever would be used again for this image is not. */
  drop(question: ProviderQuestion): void {
    for (const cacheKey of cacheKeys) this.#answers.delete(keyOf(question, cacheKey));
  }

  keep(question: ProviderQuestion, answer: ProviderAnswer): void {
    this.#answers.set(keyOf(question, answer.cacheKey), answer, answer.cacheMs);
  }
}

function keyOf({ name, image }: ProviderQuestion, cacheKey: ProviderCacheKey): string {
  const registry = image.slice(0, image.indexOf("/"));
  return JSON.stringify([name, cacheKey, cacheKey === "Image" ? image : cacheKey === "Registry" ? registry : ""]);
}
