import { type Clock, FileValue, type Logger, SingleFlight } from "../../base/index.ts";
import type { Credential, CredentialOffer, DeferredCredential, UnveiledCredential } from "../credential.ts";
import type { GuestCredential } from "../hosts/registry-host.ts";
import { type DockerConfig, parseDockerConfig } from "./docker-config.ts";
import { askDockerHelper, type DockerHelper, helperSource } from "./docker-helper.ts";
import { matchesImagePattern } from "./image-pattern.ts";
import { ProviderAnswers, type ProviderQuestion } from "./provider-answers.ts";
import { type CredentialProvider, parseProviderConfig } from "./provider-config.ts";
import { askProvider, loginsFor } from "./provider-plugin.ts";
import { ProgramFault } from "./run-program.ts";
import { TimedMap } from "./timed-map.ts";

/** Where the node says what its pulls may show. */
export interface NodeCredentialsOptions {
  /** A docker config.json. */
  readonly dockerConfig: string | undefined;
  /** Kubelet's credential provider plugins: which, and the folder that they are in. */
  readonly providers?: { readonly config: string; readonly binDir: string } | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who is asked for a deferred credential: what its `key` holds as JSON. */
type Plan =
  | { readonly by: "helper"; readonly helper: DockerHelper }
  | { readonly by: "provider"; readonly question: ProviderQuestion };

type Found = Omit<UnveiledCredential, "isReused">;

/** How long a helper's answer is used again. They say nothing of how long it is good. */
const HELPER_CACHE_MS = 60_000;
/** A program that hung is left alone for so long: else every pull would wait for it. */
const HUNG_REST_MS = 60_000;

/**
 * The credentials that belong to the node, from its files, helpers and provider plugins. Files are looked at again each
 * time. Helpers and plugins run only when their turn comes, one run for all who ask the same meanwhile.
 */
export class NodeCredentials {
  readonly #options: NodeCredentialsOptions;
  readonly #dockerConfig: FileValue<DockerConfig> | undefined;
  readonly #providerConfig: FileValue<CredentialProvider[]> | undefined;
  readonly #asking = new SingleFlight<Found>();
  readonly #helperAnswers: TimedMap<readonly Credential[]>;
  readonly #providerAnswers: ProviderAnswers;
  /** By program: what is wrong with it, for as long as it is left alone. */
  readonly #hung: TimedMap<string>;
  /** By program: what the last warning said. */
  readonly #warned = new Map<string, string>();

  constructor(options: NodeCredentialsOptions) {
    const { dockerConfig, providers, clock, log } = options;
    const parse = (text: string) => parseDockerConfig(text, "--docker-config");
    const parseProviders = (text: string) =>
      this.#usable(parseProviderConfig(text, "--image-credential-provider-config"));
    this.#options = options;
    if (dockerConfig !== undefined) this.#dockerConfig = new FileValue({ path: dockerConfig, parse, log });
    if (providers !== undefined)
      this.#providerConfig = new FileValue({ path: providers.config, parse: parseProviders, log });
    this.#helperAnswers = new TimedMap(clock);
    this.#providerAnswers = new ProviderAnswers(clock);
    this.#hung = new TimedMap(clock);
  }

  /** What the docker config offers a repository. Throws as its parser does, and with the file's errors. */
  async fromDockerConfig(registry: string, repository: string): Promise<CredentialOffer[]> {
    const config = await this.#dockerConfig?.get();
    if (config === undefined) return [];
    const own = config.credentialFor(registry, repository);
    const helpers = config.helpersFor(registry, repository);
    return [...(own === undefined ? [] : [own]), ...helpers.map((helper) => deferred({ by: "helper", helper }))];
  }

  /** What the docker config has for other hosts that a registry may redirect to. Throws as `fromDockerConfig` does. */
  async guests(): Promise<readonly GuestCredential[]> {
    return (await this.#dockerConfig?.get())?.logins() ?? [];
  }

  /** What the provider plugins may offer a repository. Throws as the config's parser does, and with the file's errors. */
  async fromProviders(registry: string, repository: string): Promise<CredentialOffer[]> {
    const image = `${registry}/${repository}`;
    return (await this.#providers())
      .filter(({ matchImages }) => matchImages.some((pattern) => matchesImagePattern(pattern, image)))
      .map(({ name }) => deferred({ by: "provider", question: { name, image } }));
  }

  /** Runs the helper or plugin that a deferred credential names, unless its last answer may be used again. */
  readonly unveil = async ({ key }: DeferredCredential, isFresh: boolean): Promise<UnveiledCredential> => {
    const plan = JSON.parse(key) as Plan;
    if (isFresh) this.#forget(plan);
    const known = this.#known(plan);
    if (known !== undefined) return { credentials: known, isReused: true, problem: undefined };
    return { ...(await this.#asking.run(key, () => this.#ask(plan))), isReused: false };
  };

  #known(plan: Plan): readonly Credential[] | undefined {
    if (plan.by === "helper") return this.#helperAnswers.get(JSON.stringify(plan.helper));
    return this.#providerAnswers.find(plan.question, sourceOf(plan));
  }

  #forget(plan: Plan): void {
    if (plan.by === "helper") this.#helperAnswers.delete(JSON.stringify(plan.helper));
    else this.#providerAnswers.drop(plan.question);
  }

  async #ask(plan: Plan): Promise<Found> {
    const program = sourceOf(plan);
    const hung = this.#hung.get(program);
    if (hung !== undefined) return { credentials: [], problem: hung };
    try {
      const credentials = await (plan.by === "helper" ? this.#askHelper(plan.helper) : this.#askProvider(plan));
      this.#warned.delete(program);
      return { credentials, problem: undefined };
    } catch (error) {
      if (!(error instanceof ProgramFault)) throw error;
      const { message: problem, isTimeout } = error;
      if (isTimeout) this.#hung.set(program, problem, HUNG_REST_MS);
      this.#warnOnce(program, problem);
      return { credentials: [], problem };
    }
  }

  async #askHelper(helper: DockerHelper): Promise<readonly Credential[]> {
    const found = await askDockerHelper(helper, this.#options.clock);
    const credentials = found === undefined ? [] : [found];
    this.#helperAnswers.set(JSON.stringify(helper), credentials, HELPER_CACHE_MS);
    return credentials;
  }

  async #askProvider(plan: Extract<Plan, { by: "provider" }>): Promise<readonly Credential[]> {
    const { name, image } = plan.question;
    const provider = (await this.#providers()).find((one) => one.name === name);
    const binDir = this.#options.providers?.binDir;
    // The config was changed since it was offered.
    if (provider === undefined || binDir === undefined) return [];
    const answer = await askProvider(provider, image, { binDir, clock: this.#options.clock });
    this.#providerAnswers.keep(plan.question, answer);
    return loginsFor(answer, image, sourceOf(plan));
  }

  async #providers(): Promise<readonly CredentialProvider[]> {
    return (await this.#providerConfig?.get()) ?? [];
  }

  #usable(providers: readonly CredentialProvider[]): CredentialProvider[] {
    for (const { name } of providers.filter(({ wantsToken }) => wantsToken)) {
      const why = "it wants tokens of service accounts (tokenAttributes), which the driver does not have";
      this.#options.log.info(`a credential provider is left out: ${why}`, { provider: name });
    }
    return providers.filter(({ wantsToken }) => !wantsToken);
  }

  #warnOnce(program: string, problem: string): void {
    if (this.#warned.get(program) === problem) return;
    this.#warned.set(program, problem);
    const message = "a program that tells credentials did not work: pulls go on without it";
    this.#options.log.warn(message, { program, problem });
  }
}

function deferred(plan: Plan): DeferredCredential {
  return { kind: "deferred", key: JSON.stringify(plan), source: sourceOf(plan), owner: "node" };
}

/** What messages call it. */
function sourceOf(plan: Plan): string {
  return plan.by === "helper" ? helperSource(plan.helper) : `credential provider ${plan.question.name}`;
}
