#!/usr/bin/env bash
# Takes the driver away from the cluster that kubectl points at. Kubelet needs the driver to take volumes away: pods that
# still have one would stay in Terminating, so this names them and stops, unless it is told to go on.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

namespace=oras-csi release=oras-csi driver=csi.oras.land image=busybox:1.36 force=false purge=false list=false

usage() {
  cat <<'USAGE'
usage: scripts/uninstall.sh [--list] [--force] [--purge] [--namespace NS] [--release NAME] [--driver NAME] [--image IMAGE]

  --list       only name the pods that use volumes of the driver
  --force      go on although pods use volumes; they stay in Terminating until a driver is back
  --purge      remove the cache folder from the nodes, too
  --namespace  where the driver runs (oras-csi)
  --release    the name of its Helm release (oras-csi)
  --driver     the name of its CSIDriver object (csi.oras.land)
  --image      what the short pods run that clean up each node; they need sh, rm and rmdir (busybox:1.36)
USAGE
}

while [ $# -gt 0 ]; do
  case $1 in
    --list) list=true ;;
    --force) force=true ;;
    --purge) purge=true ;;
    --namespace | --release | --driver | --image)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'unknown option %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

pods_with_volumes() {
  local template
  template=$(sed "s/csi\.oras\.land/$driver/g" "$root/deploy/chart/files/pods-with-volumes.gotemplate")
  kubectl get pods,persistentvolumes --all-namespaces --output "go-template=$template" | sort -u
}

# daemonset_path NAME: the node's folder that the driver's DaemonSet mounts under this name.
daemonset_path() {
  kubectl --namespace "$namespace" get daemonset --selector "$selector" \
    --output "jsonpath={.items[0].spec.template.spec.volumes[?(@.name==\"$1\")].hostPath.path}"
}

# clean_node NODE: a pod there that removes the driver's folder from kubelet's plugins and, when asked to, the cache.
# It gets the folders above those two. A folder is taken for a cache only if the driver's own file is in it.
clean_node() {
  local node=$1 name
  name=oras-csi-uninstall-$(printf '%s' "$node" | cksum | cut -d' ' -f1)
  kubectl --namespace "$namespace" delete pod "$name" --ignore-not-found --now >/dev/null 2>&1
  kubectl --namespace "$namespace" create --filename - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata:
  name: $name
  labels: {app.kubernetes.io/name: oras-csi, app.kubernetes.io/component: uninstall, app.kubernetes.io/part-of: oras-csi}
spec:
  nodeName: $node
  restartPolicy: Never
  automountServiceAccountToken: false
  tolerations: [{operator: Exists}]
  containers:
    - name: clean
      image: $image
      securityContext: {privileged: true, runAsUser: 0}
      env:
        - {name: PURGE, value: "$purge"}
        - {name: PLUGIN, value: "/plugins/${plugin_folder##*/}"}
        - {name: CACHE, value: "/above/${cache_folder##*/}"}
      command:
        - sh
        - -euc
        - |
          rm -f "\$PLUGIN/csi.sock"
          if [ -d "\$PLUGIN" ]; then rmdir "\$PLUGIN"; fi
          if [ "\$PURGE" = true ] && [ -f "\$CACHE/format.json" ]; then rm -rf "\$CACHE"; fi
      volumeMounts:
        - {name: plugins, mountPath: /plugins}
        - {name: above, mountPath: /above}
  volumes:
    - name: plugins
      hostPath: {path: "${plugin_folder%/*}", type: Directory}
    - name: above
      hostPath: {path: "${cache_folder%/*}/", type: Directory}
POD
  local phase=
  for _ in $(seq 120); do
    phase=$(kubectl --namespace "$namespace" get pod "$name" --output 'jsonpath={.status.phase}')
    case $phase in Succeeded | Failed) break ;; esac
    sleep 0.5
  done
  [ "$phase" = Succeeded ] || kubectl --namespace "$namespace" logs "$name" >&2 || true
  kubectl --namespace "$namespace" delete pod "$name" --now >/dev/null 2>&1
  [ "$phase" = Succeeded ]
}

pods=$(pods_with_volumes)
if $list; then
  [ -z "$pods" ] || printf '%s\n' "$pods"
  exit 0
fi
if [ -n "$pods" ]; then
  printf 'these pods use volumes of %s:\n' "$driver" >&2
  printf '%s\n' "$pods" | sed 's/^/  /' >&2
  if ! $force; then
    printf 'nothing was removed: delete them first, or go on with --force; they cannot end without the driver\n' >&2
    exit 1
  fi
fi

selector=app.kubernetes.io/name=oras-csi,app.kubernetes.io/instance=$release
daemonset=$(kubectl --namespace "$namespace" get daemonset --selector "$selector" --output name)
nodes='' plugin_folder='' cache_folder=''
if [ -n "$daemonset" ]; then
  plugin_folder=$(daemonset_path plugin) cache_folder=$(daemonset_path cache)
  nodes=$(kubectl --namespace "$namespace" get pods --selector "$selector" --output 'jsonpath={.items[*].spec.nodeName}')
else
  printf 'there is no DaemonSet %s in namespace %s\n' "$release" "$namespace" >&2
  if $purge; then printf 'so where the caches are is not known: none is removed\n' >&2; fi
fi

if command -v helm >/dev/null && helm status "$release" --namespace "$namespace" >/dev/null 2>&1; then
  helm uninstall "$release" --namespace "$namespace" --wait
else
  kubectl --namespace "$namespace" delete daemonset,serviceaccount --selector "$selector" --ignore-not-found
  kubectl delete csidriver "$driver" --ignore-not-found
fi
if [ -n "$nodes" ]; then
  kubectl --namespace "$namespace" wait --for=delete pod --selector "$selector" --timeout=120s >/dev/null
fi

failed=false
for node in $nodes; do
  if clean_node "$node"; then
    printf 'node %s is clean%s\n' "$node" "$($purge || printf ', its cache %s is kept' "$cache_folder")"
  else
    printf 'node %s could not be cleaned: see %s%s there\n' "$node" "$plugin_folder" "$($purge && printf ' and %s' "$cache_folder")" >&2
    failed=true
  fi
done

# The namespace of deploy/kustomize carries this label; one that somebody else made stays.
part_of=$(kubectl get namespace "$namespace" --ignore-not-found \
  --output 'jsonpath={.metadata.labels.app\.kubernetes\.io/part-of}')
if [ "$part_of" = oras-csi ]; then kubectl delete namespace "$namespace"; fi
if $failed; then exit 1; fi
