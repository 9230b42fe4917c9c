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

/** Whose a credential is. */
export type CredentialOwner = "pod" | "node";

/** The credential of those who have none. */
export const anonymous: Credential = { kind: "anonymous", source: "anonymous" };
