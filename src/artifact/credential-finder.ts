import { type Clock, DriverError, describeError, FileValue, type Logger } from "../base/index.ts";
import type { Reference } from "../oci/index.ts";
import {
  anonymous,
  type CredentialOffer,
  credentialsFromSecrets,
  type GuestCredential,
  guestsFromSecrets,
  type HostAccess,
  NodeCredentials,
  parseCaCertificates,
  type RegistryHost,
  RegistryHosts,
  registryNameOf,
  type Unveil,
} from "../registry/index.ts";

/** Whom a pull may ask, what it may show them, and whose certificates it trusts. */
export interface FoundCredentials {
  /** What the registry itself may be shown, in the order it is tried: the pod's secret, the node's credentials, none. */
  readonly credentials: readonly CredentialOffer[];
  /** In the order they are asked, each with what may be shown there; undefined: only the registry itself. */
  readonly hosts: readonly HostAccess[] | undefined;
  /** PEM, beside the built-in roots. */
  readonly caCertificates: readonly string[];
}

/** Where the node says what pulls may use. */
export interface CredentialFinderOptions {
  readonly dockerConfig: string | undefined;
  readonly caFile: string | undefined;
  readonly registryHostsDir?: string | undefined;
  /** Kubelet's credential provider plugins: which, and the folder that they are in. */
  readonly providers?: { readonly config: string; readonly binDir: string } | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Gathers hosts, credentials and roots for each pull; files are looked at again each time. */
export class CredentialFinder {
  /** Fetches what a deferred credential stands for. */
  readonly unveil: Unveil;
  readonly #ofNode: NodeCredentials;
  readonly #caFile: FileValue<string[]> | undefined;
  readonly #hosts: RegistryHosts | undefined;

  constructor(options: CredentialFinderOptions) {
    const { caFile, registryHostsDir, log } = options;
    const roots = (text: string) => parseCaCertificates(text, "--ca-file");
    this.#ofNode = new NodeCredentials(options);
    this.unveil = this.#ofNode.unveil;
    this.#caFile = caFile === undefined ? undefined : new FileValue({ path: caFile, parse: roots, log });
    this.#hosts = registryHostsDir === undefined ? undefined : new RegistryHosts({ folder: registryHostsDir, log });
  }

  /**
   * What to try for a reference. Throws "bad-input" for a malformed secret of the pod, "unavailable" for a file of the
   * node that cannot be used: it may be mended, and the pod is not at fault.
   */
  async find(reference: Reference, secrets: Readonly<Record<string, string>>): Promise<FoundCredentials> {
    const { registry, repository } = reference;
    const credentials = await this.#offersFor(registry, repository, secrets);
    const hosts = await this.#hosts?.hostsOf(registry);
    const roots = await ofTheNode("--ca-file", async () => this.#caFile?.get());
    const ofNode = await ofTheNode("--docker-config", () => this.#ofNode.guests());
    const own = { repository, secrets, credentials, guests: [...guestsFromSecrets(secrets), ...ofNode] };
    const access = hosts?.map((host) => this.#accessTo(host, own));
    return {
      credentials,
      hosts: access === undefined ? undefined : await Promise.all(access),
      caCertificates: roots ?? [],
    };
  }

  async #accessTo(host: RegistryHost, own: OwnAccess): Promise<HostAccess> {
    const { kind, root } = host;
    const { guests } = own;
    if (kind === "origin" || root === undefined) return { ...host, credentials: own.credentials, guests };
    // What a secret says without a name is meant for the registry, and for no mirror of it.
    const { username: _, password: __, ...named } = own.secrets;
    return { ...host, credentials: await this.#offersFor(registryNameOf(root), own.repository, named), guests };
  }

  async #offersFor(
    registry: string,
    repository: string,
    secrets: Readonly<Record<string, string>>,
  ): Promise<CredentialOffer[]> {
    const ofPod = credentialsFromSecrets(secrets, registry, repository);
    const ofNode = this.#ofNode;
    const inConfig = await ofTheNode("--docker-config", () => ofNode.fromDockerConfig(registry, repository));
    const flag = "--image-credential-provider-config";
    const byProviders = await ofTheNode(flag, () => ofNode.fromProviders(registry, repository));
    return [...ofPod, ...inConfig, ...byProviders, anonymous];
  }
}

interface OwnAccess {
  readonly repository: string;
  readonly secrets: Readonly<Record<string, string>>;
  /** Of the registry itself. */
  readonly credentials: readonly CredentialOffer[];
  /** For hosts that it redirects to. */
  readonly guests: readonly GuestCredential[];
}

async function ofTheNode<T>(flag: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    // What the parser throws names the flag already.
    const fault = error instanceof DriverError ? error.message : `${flag}: ${describeError(error)}`;
    throw new DriverError("unavailable", `the driver is not set up right on this node: ${fault}`, error);
  }
}
