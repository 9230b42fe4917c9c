import { DriverError, describeError, FileValue, type Logger } from "../base/index.ts";
import type { Reference } from "../oci/index.ts";
import {
  type Credential,
  credentialsFromSecrets,
  type DockerConfig,
  parseCaCertificates,
  parseDockerConfig,
} from "../registry/index.ts";

/** What a pull may show a registry, and whose certificates it trusts. */
export interface FoundCredentials {
  /** In the order they are tried: the pod's secret, the node's docker config, none. */
  readonly credentials: readonly Credential[];
  /** PEM, beside the built-in roots. */
  readonly caCertificates: readonly string[];
}

/** Gathers credentials and roots for each pull; files are looked at again each time. */
export class CredentialFinder {
  readonly #dockerConfig: FileValue<DockerConfig> | undefined;
  readonly #caFile: FileValue<string[]> | undefined;

  constructor(options: {
    readonly dockerConfig: string | undefined;
    readonly caFile: string | undefined;
    readonly log: Logger;
  }) {
    const { dockerConfig, caFile, log } = options;
    const config = (text: string) => parseDockerConfig(text, "--docker-config");
    const roots = (text: string) => parseCaCertificates(text, "--ca-file");
    this.#dockerConfig =
      dockerConfig === undefined ? undefined : new FileValue({ path: dockerConfig, parse: config, log });
    this.#caFile = caFile === undefined ? undefined : new FileValue({ path: caFile, parse: roots, log });
  }

  /**
   * What to try for a reference. Throws "bad-input" for a malformed secret of the pod, "unavailable" for a file of the
   * node that cannot be used: it may be mended, and the pod is not at fault.
   */
  async find(reference: Reference, secrets: Readonly<Record<string, string>>): Promise<FoundCredentials> {
    const { registry, repository } = reference;
    const ofNode = await ofTheNode("--docker-config", async () =>
      (await this.#dockerConfig?.get())?.credentialFor(registry, repository),
    );
    const roots = await ofTheNode("--ca-file", async () => this.#caFile?.get());
    return {
      credentials: [
        ...credentialsFromSecrets(secrets, registry, repository),
        ...(ofNode === undefined ? [] : [ofNode]),
        { kind: "anonymous", source: "anonymous" },
      ],
      caCertificates: roots ?? [],
    };
  }
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
