/** Kubelet's form of a target path (k8s.io/kubernetes, pkg/volume/csi): the pod's uid, and the volume's name. */
const form = /^(.*\/pods)\/([^/]+)\/volumes\/kubernetes\.io~csi\/[^/]+\/mount$/;

/** Whether only kubelet makes such target paths. */
export function isKubeletTarget(targetPath: string): boolean {
  return form.test(targetPath);
}

/** The uid of the pod that a target path belongs to, where it has kubelet's form. */
export function podUidOf(targetPath: string): string | undefined {
  return form.exec(targetPath)?.[2];
}

/** The folder of all pods that a target path lies in, where it has kubelet's form. */
export function podsFolderOf(targetPath: string): string | undefined {
  return form.exec(targetPath)?.[1];
}
