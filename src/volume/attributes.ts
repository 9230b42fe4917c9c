/** One key of the volume attributes, as pods write it, and what the docs say of it. */
export interface AttributeInfo {
  readonly default: string;
  readonly meaning: string;
}

/** All volume attributes: parsing, error messages and the README's table come from here (contract.md). */
export const attributeTable = {
  "oras.artifact.reference": {
    default: "required",
    meaning:
      "`registry/repository[:tag][@digest]`; `oras://` in front is allowed; with tag and digest the digest decides",
  },
  "oras.artifact.layers.mediatype": { default: "all", meaning: "media types to include, exact, comma-separated" },
  "oras.artifact.layers.title": {
    default: "all",
    meaning: "globs on the whole title, comma-separated: `*` stays within a path's part, `**` crosses parts",
  },
  "oras.artifact.platform": { default: "the node's", meaning: "`os/arch[/variant]`: what to take from an index" },
  "oras.options.plainhttp": { default: "false", meaning: "`true`: http instead of https" },
  "oras.options.insecure": { default: "false", meaning: "`true`: TLS without verifying the certificate" },
  "oras.options.concurrency": { default: "the flag's", meaning: "blobs fetched at once, 1 to 64" },
  "oras.options.pullpolicy": {
    default: "IfNotPresent",
    meaning: "`Always` asks the registry what the tag is now, `IfNotPresent` only what the node lacks, `Never` nothing",
  },
  "oras.options.pullalways": {
    default: "false",
    meaning: "`true` is pullpolicy `Always` (the Go driver's name for it)",
  },
  "oras.options.cleanup": {
    default: "retain",
    meaning:
      "`retain`: the files stay on the node for as long as there is room; `delete`: they go with their last volume; a duration (`30m`): that long after. Of the volumes that had them together, the most patient wins",
  },
} as const satisfies Readonly<Record<string, AttributeInfo>>;

/** The key of a volume attribute. */
export type AttributeKey = keyof typeof attributeTable;

/** What kubelet adds to the attributes about the pod (CSIDriver.spec.podInfoOnMount). */
export const podInfoKeys = {
  namespace: "csi.storage.k8s.io/pod.namespace",
  name: "csi.storage.k8s.io/pod.name",
  uid: "csi.storage.k8s.io/pod.uid",
  ephemeral: "csi.storage.k8s.io/ephemeral",
} as const;
