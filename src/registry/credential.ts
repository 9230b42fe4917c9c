/**
 * What is shown to a registry that asks. `source` names where it comes from, for messages ("the pod's secret"). What
 * belongs to the node ("node") goes only over verified TLS or to this machine; a pod's own goes where the pod says.
 */
export type Credential =
  | { readonly kind: "anonymous"; readonly source: string }
  | {
      readonly kind: "password";
      readonly username: string;
      readonly password: string;
      readonly source: string;
      readonly owner: CredentialOwner;
    }
  | {
      readonly kind: "identity-token";
      readonly token: string;
      readonly source: string;
      readonly owner: CredentialOwner;
    };

/**
 * A credential that is fetched only when its turn comes: from a credential helper or provider of the node. `key` says
 * which one, to whoever knows them.
 */
export interface DeferredCredential {
  readonly kind: "deferred";
  readonly key: string;
  readonly source: string;
  readonly owner: "node";
}

/** What may be tried: known already, or still to be fetched. */
export type CredentialOffer = Credential | DeferredCredential;

/** What came of fetching a deferred credential. */
export interface UnveiledCredential {
  /** In the order they are tried; none where there is nothing for this registry. */
  readonly credentials: readonly Credential[];
  /** They were fetched earlier: if they are refused, fresh ones may be let in. */
  readonly isReused: boolean;
  /** What went wrong with the helper or provider, for messages. */
  readonly problem: string | undefined;
}

/** Fetches what a deferred credential stands for; never rejects but with the reason of a cancel. With `isFresh`, what was fetched earlier does not count. */
export type Unveil = (offer: DeferredCredential, isFresh: boolean) => Promise<UnveiledCredential>;

/** Whose a credential is. */
export type CredentialOwner = "pod" | "node";

/** The credential of those who have none. */
export const anonymous: Credential = { kind: "anonymous", source: "anonymous" };
