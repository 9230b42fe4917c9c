import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type CallOptions, type CsiClient, CsiError, type PublishRequest } from "./csi-client.ts";

/** What a pod's author writes about an inline CSI volume, and what kubelet adds from the pod. */
export interface VolumeSpec {
  readonly attributes: Readonly<Record<string, string>>;
  /** `volumes[].csi.readOnly`; true when left out, as in all examples. */
  readonly readOnly?: boolean;
  /** What the Secret of `nodePublishSecretRef` holds. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly namespace?: string;
  readonly podName?: string;
  /** The pod's fsGroup. */
  readonly fsGroup?: string;
}

/** The codes after which kubelet takes a volume as perhaps mounted; after all others it cleans up by itself. */
const UNCERTAIN = ["CANCELED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"];

/** Plays kubelet: the same folders, the same calls in the same order, a fresh connection for each. */
export class Kubelet {
  readonly #podsFolder: string;
  readonly #connect: () => CsiClient;

  constructor(kubeletFolder: string, connect: () => CsiClient) {
    this.#podsFolder = join(kubeletFolder, "pods");
    this.#connect = connect;
  }

  /** A volume of a new pod; nothing happens before it is published. */
  volume(spec: VolumeSpec, name = "artifact"): KubeletVolume {
    return new KubeletVolume({ podsFolder: this.#podsFolder, connect: this.#connect, spec, name });
  }
}

interface KubeletVolumeOptions {
  readonly podsFolder: string;
  readonly connect: () => CsiClient;
  readonly spec: VolumeSpec;
  readonly name: string;
}

/** One inline volume of one pod. */
export class KubeletVolume {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly podUid = randomUUID();
  readonly #options: KubeletVolumeOptions;

  constructor(options: KubeletVolumeOptions) {
    this.#options = options;
    const { podsFolder, name } = options;
    this.volumeId = `csi-${createHash("sha256").update(`${this.podUid}${name}`).digest("hex")}`;
    this.targetPath = join(podsFolder, this.podUid, "volumes/kubernetes.io~csi", name, "mount");
  }

  /** The request that kubelet makes of the spec. */
  request(): PublishRequest {
    const { spec } = this.#options;
    const prefix = "csi.storage.k8s.io";
    const podInfo = {
      [`${prefix}/pod.name`]: spec.podName ?? "pod",
      [`${prefix}/pod.namespace`]: spec.namespace ?? "default",
      [`${prefix}/pod.uid`]: this.podUid,
      [`${prefix}/serviceAccount.name`]: "default",
      [`${prefix}/ephemeral`]: "true",
    };
    return {
      volumeId: this.volumeId,
      targetPath: this.targetPath,
      readonly: spec.readOnly ?? true,
      volumeContext: { ...spec.attributes, ...podInfo },
      ...(spec.secrets === undefined ? {} : { secrets: spec.secrets }),
      ...(spec.fsGroup === undefined ? {} : { volumeMountGroup: spec.fsGroup }),
    };
  }

  /** Mounts the volume, or mounts it again after a kubelet restart: both look the same from outside. */
  async publish(options?: CallOptions): Promise<void> {
    await this.prepareFolder();
    for (let asked = 0; asked < 2; asked += 1) await this.#call((client) => client.nodeCapabilities());
    try {
      await this.#call((client) => client.publish(this.request(), options));
    } catch (reason) {
      if (!(reason instanceof CsiError) || !UNCERTAIN.includes(reason.code)) await this.#removeFolder();
      throw reason;
    }
  }

  /** What kubelet does before the first call: the folder above the target and vol_data.json in it. */
  async prepareFolder(): Promise<void> {
    const parent = dirname(this.targetPath);
    await mkdir(parent, { recursive: true, mode: 0o750 });
    const data = {
      attachmentID: `csi-${createHash("sha256").update(this.targetPath).digest("hex")}`,
      driverName: "csi.oras.land",
      nodeName: "test-node",
      specVolID: this.#options.name,
      volumeHandle: this.volumeId,
      volumeLifecycleMode: "Ephemeral",
    };
    await writeFile(join(parent, "vol_data.json"), `${JSON.stringify(data)}\n`);
  }

  /** Unmounts the volume and removes kubelet's own folder; fails when the driver left something at the target. */
  async unpublish(options?: CallOptions): Promise<void> {
    await this.#call((client) => client.unpublish(this.volumeId, this.targetPath, options));
    await this.#removeFolder();
  }

  /** NodeGetVolumeStats for this volume. */
  stats(): ReturnType<CsiClient["stats"]> {
    return this.#call((client) => client.stats(this.volumeId, this.targetPath));
  }

  /** NodeGetVolumeHealth for this volume. */
  health(): ReturnType<CsiClient["health"]> {
    return this.#call((client) => client.health(this.volumeId, this.targetPath));
  }

  /** Kubelet's clean-up is a plain rmdir: what a driver leaves in the way makes it fail for ever. */
  async #removeFolder(): Promise<void> {
    const parent = dirname(this.targetPath);
    if (existsSync(this.targetPath)) await rmdir(this.targetPath);
    await rm(join(parent, "vol_data.json"), { force: true });
    if (existsSync(parent)) await rmdir(parent);
  }

  async #call<Result>(use: (client: CsiClient) => Promise<Result>): Promise<Result> {
    using client = this.#options.connect();
    return await use(client);
  }
}
