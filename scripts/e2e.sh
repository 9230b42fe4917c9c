#!/usr/bin/env bash
# Tries the driver on a real cluster, the one that kubectl points at: installs it, runs pods with artifacts, breaks what
# can break, uninstalls it. Names of steps as arguments: only those (and what they need must be there).
#
#   E2E_IMAGE            the driver's image as the nodes pull it; localhost:5001/oras-csi:e2e, which is pushed first from
#                        dist/image (npm run image) unless this is set
#   E2E_KUBELET_DIR      kubelet's folder on the nodes (/var/lib/kubelet)
#   E2E_INSTALL          helm (where it is installed) or kustomize
#   E2E_RESTART_KUBELET  a command that restarts kubelet on the nodes
#   E2E_NAMESPACE, E2E_DRIVER_NAMESPACE, E2E_TIMEOUT (seconds)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
push=${E2E_IMAGE:-localhost:5001/oras-csi:e2e}
[ -z "${E2E_IMAGE:-}" ] || push=
# shellcheck source=scripts/e2e/common.sh
. "$root/scripts/e2e/common.sh"
# shellcheck source=scripts/e2e/steps.sh
. "$root/scripts/e2e/steps.sh"
trap 'rm -rf "$work"' EXIT

PATH=$PATH:$(go env GOPATH 2>/dev/null || printf %s "$HOME/go")/bin
for tool in kubectl oras skopeo; do
  command -v "$tool" >/dev/null || { printf '%s is needed\n' "$tool" >&2; exit 1; }
done
kubectl get nodes >/dev/null

if [ -n "$push" ]; then
  [ -f "$root/dist/image/index.json" ] || { printf 'there is no dist/image: npm run image\n' >&2; exit 1; }
  skopeo copy --quiet --all --preserve-digests --dest-tls-verify=false "oci:$root/dist/image:latest" "docker://$push"
fi

steps=(install_driver start_helpers push_artifacts basic_pods filtered_pod private_artifact shared_job static_claim
  writable_volume user_namespace sub_paths broken_reference driver_restarts kubelet_restart slow_pull volume_health
  uninstall_driver go_driver_manifests remove_helpers)
[ $# = 0 ] || steps=("$@")
for name in "${steps[@]}"; do
  # Where the driver, which is on the nodes' network, finds the registries.
  registry=$(k get pod registry -o 'jsonpath={.status.podIP}:5000' 2>/dev/null || true)
  registry_private=$(k get pod registry-private -o 'jsonpath={.status.podIP}:5000' 2>/dev/null || true)
  export registry registry_private
  step "${name//_/ }" "$name"
done
summary
