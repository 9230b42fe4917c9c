#!/usr/bin/env bash
# Tries the driver on kind (Kubernetes in Docker) with a local registry: first the executable by itself on a node, then
# all steps of e2e.sh. The cluster is made for it and deleted afterwards; KIND_KEEP=1 leaves it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cluster=oras-csi-smoke registry=kind-registry port=5001

for tool in docker kind kubectl; do
  command -v "$tool" >/dev/null || { printf '%s is needed\n' "$tool" >&2; exit 1; }
done
[ -x "$root/dist/oras-csi" ] || { printf 'there is no dist/oras-csi: npm run build\n' >&2; exit 1; }
[ -f "$root/dist/image/index.json" ] || { printf 'there is no dist/image: npm run image\n' >&2; exit 1; }

own_registry=
clean_up() {
  if [ -n "${KIND_KEEP:-}" ]; then return; fi
  kind delete cluster --name "$cluster"
  # One that was there before is somebody's.
  [ -z "$own_registry" ] || docker rm --force "$registry" >/dev/null
}
trap clean_up EXIT

if ! docker inspect "$registry" >/dev/null 2>&1; then
  own_registry=yes
  docker run --detach --restart=always --publish "127.0.0.1:$port:5000" --name "$registry" registry:2 >/dev/null
fi

kind create cluster --name "$cluster" --wait 180s --config - <<'KIND'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes: [{role: control-plane}, {role: worker}]
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
KIND
docker network connect kind "$registry" 2>/dev/null || true
nodes=$(kind get nodes --name "$cluster")
for node in $nodes; do
  docker exec "$node" mkdir -p "/etc/containerd/certs.d/localhost:$port"
  printf '[host."http://%s:5000"]\n' "$registry" |
    docker exec --interactive "$node" tee "/etc/containerd/certs.d/localhost:$port/hosts.toml" >/dev/null
done

printf 'the executable on a node without Node\n'
node=$(printf '%s\n' "$nodes" | tail -n 1)
docker cp "$root/dist/oras-csi" "$node:/usr/local/bin/oras-csi"
# Node is linked against libatomic, which a node's slim system may lack: the image has it, too.
libraries=usr/lib/$(uname -m)-linux-gnu
docker exec "$node" test -e "/$libraries/libatomic.so.1" ||
  docker cp --follow-link "$(find "$root"/dist/image-context/*/"$libraries" -name libatomic.so.1)" "$node:/$libraries/libatomic.so.1"
docker exec "$node" oras-csi version
docker exec --detach "$node" oras-csi serve --csi-endpoint=unix:///tmp/smoke.sock --data-dir=/tmp/smoke --http-endpoint=127.0.0.1:19809
# /healthz calls Probe through the socket.
docker exec "$node" curl --silent --show-error --fail --retry 20 --retry-delay 1 --retry-all-errors http://127.0.0.1:19809/healthz
docker exec "$node" pkill --exact oras-csi
docker exec "$node" rm -rf /tmp/smoke /usr/local/bin/oras-csi

E2E_RESTART_KUBELET="for node in ${nodes//$'\n'/ }; do docker exec \$node systemctl restart kubelet; done" \
  "$root/scripts/e2e.sh" "$@"
