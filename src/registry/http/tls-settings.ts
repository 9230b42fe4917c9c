/** What TLS with one host takes beside the built-in roots. */
export interface TlsSettings {
  /** The same for the same content: connections are shared by it. */
  readonly id: string;
  /** PEM texts of roots that are trusted there, too. */
  readonly caCertificates: readonly string[];
  /** What this node shows of itself, PEM. */
  readonly clientCertificates: readonly { readonly certificate: string; readonly key: string }[];
}

/** The settings for a host that the first one redirected to: its roots count, but it is not shown who this node is. */
export function tlsForStranger(settings: TlsSettings | undefined): TlsSettings | undefined {
  if (settings === undefined || settings.clientCertificates.length === 0) return settings;
  return { ...settings, id: `${settings.id} without client certificates`, clientCertificates: [] };
}
