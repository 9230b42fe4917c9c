import type { Credential, CredentialOffer } from "../credential.ts";
import type { TlsTrust } from "../http/http-types.ts";
import type { Target } from "../http/target.ts";
import type { TlsSettings } from "../http/tls-settings.ts";

/** The registry that a reference names, or another host that answers for it. */
export type HostKind = "origin" | "mirror";

/** What a host may be asked for: manifests and blobs by digest, or what a tag is. */
export type HostCapability = "pull" | "resolve";

/** One of the hosts that a registry's repositories are asked at, as hosts.toml says. It survives a structured clone. */
export interface RegistryHost {
  readonly kind: HostKind;
  /** Where its API is: the path (`/v2`) ends without a slash. Undefined: where the reference and the volume say. */
  readonly root: Target | undefined;
  readonly capabilities: readonly HostCapability[];
  /** Undefined: as the volume says, or verified. */
  readonly trust: TlsTrust | undefined;
  readonly tls: TlsSettings | undefined;
  /** Sent with every request to this host, and to no other. They may be secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds until it has to be connected; undefined: as usual. */
  readonly connectTimeoutMs: number | undefined;
  /** Why it cannot be asked, where a file that it needs is not right. */
  readonly problem: string | undefined;
}

/** A host and what may be shown there, in the order that it is tried. */
export interface HostAccess extends RegistryHost {
  readonly credentials: readonly CredentialOffer[];
  /** For hosts that it redirects to, should they ask. */
  readonly guests?: readonly GuestCredential[] | undefined;
}

/** A credential that is meant for another host. */
export interface GuestCredential {
  /** As a reference would name it: `store.example:9000`. */
  readonly host: string;
  readonly credential: Credential;
}
