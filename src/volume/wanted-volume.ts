import { DriverError } from "../base/index.ts";
import type { Tree } from "../cache/index.ts";
import { type MountFlags, parseMountFlags } from "../mount/index.ts";
import { formatReference } from "../oci/index.ts";
import { credentialsFromSecrets } from "../registry/index.ts";
import { type VolumeKey, type VolumeRecord, volumeKeyOf } from "./records.ts";
import type { PublishRequest } from "./volume-service.ts";
import { type PodInfo, parsePodInfo, parseVolumeSpec, specIdentity, type VolumeSpec } from "./volume-spec.ts";

/** A publish request, understood. */
export interface WantedVolume {
  readonly key: VolumeKey;
  readonly volumeId: string;
  readonly targetPath: string;
  readonly spec: VolumeSpec;
  /** `specIdentity` of it. */
  readonly identity: string;
  readonly pod: PodInfo;
  readonly readOnly: boolean;
  readonly flags: MountFlags;
  /** Decimal group id of the volume's root; "" for none. */
  readonly mountGroup: string;
}

/** Reads a publish request. Throws one "bad-input" that lists all that is wrong with it. */
export function parseWantedVolume(request: PublishRequest): WantedVolume {
  const { volumeId, targetPath, mountGroup, volumeContext } = request;
  const problems = [...request.fieldProblems];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== "bad-input") throw error;
      problems.push(error.message);
      return undefined;
    }
  };
  const spec = attempt(() => parseVolumeSpec(volumeContext));
  const pod = attempt(() => parsePodInfo(volumeContext, targetPath));
  const mount = attempt(() => parseMountFlags(request.mountFlags));
  attempt(() => checkGroup(mountGroup));
  if (spec === undefined || pod === undefined || mount === undefined || problems.length > 0) {
    // A secret is looked at when it is needed: one that broke since does not bother a volume that is published.
    attempt(() => checkSecrets(request.secrets, spec));
    throw new DriverError("bad-input", `cannot publish the volume: ${problems.join("; ")}`);
  }
  const readOnly = request.readOnly || mount.readOnly || pod.persistent;
  const identity = specIdentity(spec, readOnly);
  const key = volumeKeyOf(volumeId, targetPath);
  return { key, volumeId, targetPath, spec, identity, pod, readOnly, flags: mount.flags, mountGroup };
}

/** The record of a volume that shows a tree, but for what its tree's folder says of a writable one. */
export function recordOf(wanted: WantedVolume, tree: Tree): VolumeRecord {
  const { key, volumeId, targetPath, readOnly, identity, pod, spec } = wanted;
  const reference = formatReference(spec.reference);
  const forPeople = { namespace: pod.namespace, pod: pod.name, reference, manifest: tree.manifest };
  return { key, volumeId, targetPath, tree: tree.id, spec: identity, readOnly, ...forPeople };
}

function checkSecrets(secrets: PublishRequest["secrets"], spec: VolumeSpec | undefined): void {
  const { registry = "", repository = "" } = spec?.reference ?? {};
  credentialsFromSecrets(secrets, registry, repository);
}

function checkGroup(group: string): void {
  if (group === "" || (/^[0-9]{1,10}$/.test(group) && Number(group) < 2 ** 32 - 1)) return;
  throw new DriverError("bad-input", `the volume's mount group ${JSON.stringify(group.slice(0, 40))} is no group id`);
}
