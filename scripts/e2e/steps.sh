# The steps of e2e.sh and kind-smoke.sh. Each is a function; it fails, or ends by `skip REASON` where a cluster cannot.
# shellcheck shell=bash
# shellcheck disable=SC2154

install_driver() {
  local image=${E2E_IMAGE%:*} tag=${E2E_IMAGE##*:}
  if [ "${E2E_INSTALL:-helm}" = helm ] && command -v helm >/dev/null; then
    helm upgrade --install oras-csi "$root/deploy/chart" --namespace "$E2E_DRIVER_NAMESPACE" --create-namespace \
      --set "image.repository=$image,image.tag=$tag,image.pullPolicy=Always,kubeletDir=$E2E_KUBELET_DIR" >/dev/null
  else
    [ "$E2E_KUBELET_DIR" = /var/lib/kubelet ] || fail "another kubelet folder needs helm"
    rm -rf "$work/kustomize"
    mkdir "$work/kustomize"
    cp -r "$root/deploy/kustomize/base" "$work/kustomize/base"
    cat > "$work/kustomize/kustomization.yaml" <<KUSTOMIZATION
namespace: $E2E_DRIVER_NAMESPACE
resources: [base]
images: [{name: ghcr.io/converged-computing/oras-csi, newName: $image, newTag: $tag}]
KUSTOMIZATION
    kubectl apply -k "$work/kustomize" >/dev/null
  fi
  driver_ready
}

driver_ready() {
  kubectl -n "$E2E_DRIVER_NAMESPACE" rollout status daemonset/oras-csi --timeout="${E2E_TIMEOUT}s" >/dev/null
  eventually every_node_has_it
}

every_node_has_it() {
  local have nodes
  have=$(kubectl get csinodes -o "jsonpath={.items[*].spec.drivers[?(@.name==\"$driver\")].nodeID}" | wc -w)
  nodes=$(kubectl -n "$E2E_DRIVER_NAMESPACE" get daemonset oras-csi -o 'jsonpath={.status.desiredNumberScheduled}')
  [ "$have" -gt 0 ] && [ "$have" = "$nodes" ]
}

# Two registries in the cluster, one with a login, and a pod on each node that looks at the node.
start_helpers() {
  kubectl create namespace "$E2E_NAMESPACE" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  k apply -f "$root/scripts/e2e/helpers.yaml" >/dev/null
  ready pod/registry pod/registry-private
  k rollout status daemonset/node-shell --timeout="${E2E_TIMEOUT}s" >/dev/null
}

push_artifacts() {
  local folder=$work/artifacts
  mkdir -p "$folder/folder/inner"
  printf 'hello\n' > "$folder/hello.txt"
  printf 'in a folder\n' > "$folder/folder/inner/file.txt"
  head -c 20000000 /dev/urandom > "$folder/large.bin"
  head -c 16000000 /dev/urandom > "$folder/slow.bin"
  forward registry
  (cd "$folder" && oras push --plain-http "$forwarded/github-ci:latest" hello.txt folder >/dev/null)
  (cd "$folder" && oras push --plain-http "$forwarded/shared:v1" large.bin >/dev/null)
  (cd "$folder" && oras push --plain-http "$forwarded/slow:v1" slow.bin >/dev/null)
  end_forward
  forward registry-private
  (cd "$folder" && oras push --plain-http -u e2e -p secret "$forwarded/private:v1" hello.txt >/dev/null 2>&1)
  end_forward
}

# forward POD: its port 5000 at $forwarded.
forward() {
  k port-forward "pod/$1" :5000 > "$work/forward" 2>&1 &
  forwarding=$!
  eventually grep -q '^Forwarding from 127' "$work/forward"
  forwarded=localhost:$(sed -nE 's/^Forwarding from 127[^:]*:([0-9]+) .*/\1/p' "$work/forward")
}

end_forward() { kill "$forwarding"; wait "$forwarding" 2>/dev/null || true; }

basic_pods() {
  example basic.yaml
  ready pod/artifact-basic
  expect hello in_pod artifact-basic cat /mnt/oras/hello.txt
  expect 'in a folder' in_pod artifact-basic cat /mnt/oras/folder/inner/file.txt
  ! in_pod artifact-basic touch /mnt/oras/new 2>/dev/null || fail "a read-only volume could be written"
  example second-pod.yaml
  example kind.yaml
  ready pod/artifact-second pod/artifact-on-kind
  expect hello in_pod artifact-second cat /mnt/second-oras/hello.txt
  expect hello in_pod artifact-on-kind cat /mnt/oras/hello.txt
}

filtered_pod() {
  example filtered-layers.yaml
  ready pod/artifact-filtered
  expect '' in_pod artifact-filtered ls /mnt/nothing
  gone artifact-filtered
}

private_artifact() {
  pod private-without "$registry_private/private:v1"
  eventually says private-without 'Unauthenticated.*private:v1'
  gone private-without
  k create secret docker-registry registry-login --docker-server="$registry_private" --docker-username=e2e \
    --docker-password=secret --dry-run=client -o yaml | k apply -f - >/dev/null
  pod private-with "$registry_private/private:v1" 'readOnly: true, nodePublishSecretRef: {name: registry-login}'
  ready pod/private-with
  expect hello in_pod private-with cat /data/hello.txt
  # What one namespace may have is nothing that another one has.
  kubectl create namespace "$E2E_NAMESPACE-other" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  E2E_NAMESPACE=$E2E_NAMESPACE-other pod private-other "$registry_private/private:v1"
  E2E_NAMESPACE=$E2E_NAMESPACE-other eventually says private-other 'Unauthenticated'
  kubectl delete namespace "$E2E_NAMESPACE-other" >/dev/null
  gone private-with
}

# Pods that share an artifact: each node downloads it once.
shared_job() {
  local layer before downloads nodes
  layer=$(sha256sum "$work/artifacts/large.bin" | cut -d' ' -f1)
  before=$(requests "/v2/shared/blobs/sha256:$layer")
  k delete job shared --ignore-not-found >/dev/null
  k apply -f - >/dev/null <<JOB
apiVersion: batch/v1
kind: Job
metadata: {name: shared}
spec:
  completions: 20
  parallelism: 20
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "sha256sum /data/large.bin"], volumeMounts: [{name: artifact, mountPath: /data}]}]
      volumes: [{name: artifact, csi: {driver: $driver, readOnly: true, volumeAttributes: {oras.artifact.reference: "$registry/shared:v1", oras.options.plainhttp: "true"}}}]
JOB
  k wait --for=condition=Complete job/shared --timeout=300s >/dev/null
  expect 20 sh -c "kubectl -n $E2E_NAMESPACE logs -l job-name=shared --tail=-1 --max-log-requests=20 | grep -c $layer"
  downloads=$(($(requests "/v2/shared/blobs/sha256:$layer") - before))
  nodes=$(k get pods -l job-name=shared -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u | wc -l)
  [ "$downloads" = "$nodes" ] || fail "$downloads downloads on $nodes nodes"
  k delete job shared >/dev/null
}

static_claim() {
  local node
  example static-pv.yaml
  ready pod/reads-reference-data
  node=$(k get pod reads-reference-data -o 'jsonpath={.spec.nodeName}')
  sed -n '/kind: Pod/,$p' "$root/examples/static-pv.yaml" | sed -e '1i apiVersion: v1' \
    -e "s/name: reads-reference-data/name: reads-too/" -e "s/^spec:/spec:\n  nodeName: $node/" | k apply -f - >/dev/null
  ready pod/reads-too
  expect hello in_pod reads-reference-data cat /data/hello.txt
  gone reads-reference-data
  expect hello in_pod reads-too cat /data/hello.txt
  remove_claim reads-too
}

# remove_claim POD: and the claim and the PersistentVolume of static-pv.yaml.
remove_claim() {
  gone "$1"
  k delete pvc reference-data >/dev/null
  kubectl delete pv reference-data >/dev/null
}

writable_volume() {
  example writable.yaml
  ready pod/artifact-writable
  expect mine in_pod artifact-writable cat /mnt/oras/written
  expect '1000 2000' in_pod artifact-writable stat -c '%u %g' /mnt/oras/written
  expect hello in_pod artifact-writable cat /mnt/oras/hello.txt
  ! in_pod artifact-basic test -e /mnt/oras/written 2>/dev/null || fail "another pod sees what was written"
  gone artifact-writable
}

user_namespace() {
  pod own-users "$registry/github-ci:latest" 'readOnly: true' 'hostUsers: false'
  eventually started_or_refused own-users
  if says own-users "$refusal"; then
    gone own-users
    skip "pods with hostUsers: false do not run here (the runtime or the kernel lacks it)"
  fi
  expect hello in_pod own-users cat /data/hello.txt
  gone own-users
}

refusal='user ?namespace|id-?map|userns'
started_or_refused() { [ "$(k get pod "$1" -o 'jsonpath={.status.phase}')" = Running ] || says "$1" "$refusal"; }

sub_paths() {
  k apply -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: {name: sub-paths}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sleep, "100000"]
      volumeMounts: [{name: artifact, mountPath: /folder, subPath: folder/inner}, {name: artifact, mountPath: /greeting, subPath: hello.txt}]
  volumes: [{name: artifact, csi: {driver: $driver, readOnly: true, volumeAttributes: {oras.artifact.reference: "$registry/github-ci:latest", oras.options.plainhttp: "true"}}}]
POD
  ready pod/sub-paths
  expect 'in a folder' in_pod sub-paths cat /folder/file.txt
  expect hello in_pod sub-paths cat /greeting
  gone sub-paths
}

broken_reference() {
  pod broken "$registry/no-such-thing:v1"
  eventually says broken 'NotFound.*no-such-thing:v1'
  described broken | grep -m1 -oE 'rpc error.*' | cut -c1-300 | sed 's/^/          /'
  gone broken
}

# The pods of the driver are deleted again and again, under pods that use volumes.
driver_restarts() {
  local before
  before=$(mounts)
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kubectl -n "$E2E_DRIVER_NAMESPACE" delete pod -l app.kubernetes.io/name=oras-csi --wait >/dev/null
    driver_ready
  done
  expect "$before" mounts
  expect hello in_pod artifact-basic cat /mnt/oras/hello.txt
  pod after-restart "$registry/github-ci:latest"
  ready pod/after-restart
  gone after-restart
}

kubelet_restart() {
  local before
  before=$(mounts)
  if [ -n "${E2E_RESTART_KUBELET:-}" ]; then sh -c "$E2E_RESTART_KUBELET"; else restart_kubelet_by_pod; fi
  eventually node_is_ready
  eventually every_node_has_it
  pod after-kubelet "$registry/github-ci:latest"
  ready pod/after-kubelet
  gone after-kubelet
  expect "$before" mounts
  expect hello in_pod artifact-basic cat /mnt/oras/hello.txt
}

restart_kubelet_by_pod() {
  on_nodes sh -c 'nsenter -t 1 -m -p -- systemctl restart kubelet' >/dev/null 2>&1 ||
    skip "the nodes have no systemctl: set E2E_RESTART_KUBELET to a command that restarts kubelet"
}

node_is_ready() { kubectl wait --for=condition=Ready node --all --timeout=5s; }

# A pull that takes longer than kubelet waits for one call goes on, and the pod's events show how far it is.
slow_pull() {
  k apply -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: {name: slow-registry}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
      readinessProbe: {tcpSocket: {port: 5000}, periodSeconds: 5}
      command:
        - sh
        - -c
        - |
          # Each connection goes on to the real registry; what comes back trickles.
          cat > /tmp/relay <<'RELAY'
          nc ${registry/:/ } | while dd bs=32k count=1 2>/tmp/said.\$\$ && ! grep -q '^0+0 records in' /tmp/said.\$\$; do sleep 0.3; done
          RELAY
          exec nc -ll -p 5000 -e sh /tmp/relay
POD
  ready pod/slow-registry
  pod slow "$(k get pod slow-registry -o 'jsonpath={.status.podIP}'):5000/slow:v1"
  E2E_TIMEOUT=200 eventually says slow 'Aborted.*pulling .*slow:v1.* of '
  described slow | grep -m1 -oE 'rpc error: code = Aborted.*' | cut -c1-300 | sed 's/^/          /'
  E2E_TIMEOUT=400 ready pod/slow
  expect "$(wc -c < "$work/artifacts/slow.bin")" in_pod slow sh -c 'cat /data/slow.bin | wc -c'
  gone slow slow-registry
}

# A volume whose mount somebody took away shows it in the pod's status, where the cluster has the gate CSIVolumeHealth.
# Kubelet 1.37 asks for the health of PersistentVolumes only, not for that of inline volumes.
volume_health() {
  local target
  kubectl get --raw /metrics 2>/dev/null | grep 'kubernetes_feature_enabled{name="CSIVolumeHealth".* 1$' >/dev/null ||
    skip "the cluster lacks the gate CSIVolumeHealth"
  example static-pv.yaml
  ready pod/reads-reference-data
  target=$E2E_KUBELET_DIR/pods/$(k get pod reads-reference-data -o 'jsonpath={.metadata.uid}')/volumes/kubernetes.io~csi/reference-data/mount
  on_nodes sh -c "nsenter -t 1 -m umount $target || true" >/dev/null 2>&1
  E2E_TIMEOUT=200 eventually reported_inaccessible reads-reference-data
  k get pod reads-reference-data -o 'jsonpath={.status.volumeHealth}' | cut -c1-300 | sed 's/^/          /'
  remove_claim reads-reference-data
}

reported_inaccessible() { k get pod "$1" -o 'jsonpath={.status.volumeHealth}' | grep -i inaccessible; }

uninstall_driver() {
  local uninstall=("$root/scripts/uninstall.sh" --namespace "$E2E_DRIVER_NAMESPACE" --image busybox) output
  if output=$("${uninstall[@]}" 2>&1); then fail "the driver was uninstalled under running pods"; fi
  printf '%s' "$output" | grep -q "$E2E_NAMESPACE/artifact-basic" || fail "it does not name the pod: $output"
  k delete pod artifact-basic artifact-second artifact-on-kind --now --wait --timeout="${E2E_TIMEOUT}s" >/dev/null
  "${uninstall[@]}" | sed 's/^/          /'
  nothing_left
  on_nodes test -e /proc/1/root/var/lib/oras-csi/format.json || fail "the cache folder is gone without --purge"
  install_driver
  "${uninstall[@]}" --purge | sed 's/^/          /'
  nothing_left
  ! on_nodes test -e /proc/1/root/var/lib/oras-csi 2>/dev/null || fail "the cache folder is still there"
}

nothing_left() {
  ! kubectl get csidriver "$driver" >/dev/null 2>&1 || fail "the CSIDriver object is still there"
  expect '' kubectl -n "$E2E_DRIVER_NAMESPACE" get daemonsets,pods,serviceaccounts -l app.kubernetes.io/name=oras-csi -o name
  eventually no_node_has_it
  expect '' on_nodes sh -c "ls -d /proc/1/root$E2E_KUBELET_DIR/plugins/$driver /proc/1/root$E2E_KUBELET_DIR/plugins_registry/$driver-reg.sock 2>/dev/null || true"
  ! mounts | grep -v '^0$' || fail "a node still has mounts"
}

no_node_has_it() {
  [ -z "$(kubectl get csinodes -o "jsonpath={.items[*].spec.drivers[?(@.name==\"$driver\")].nodeID}")" ]
}

# The Go driver's own manifests with this driver's image; then this driver's manifests in their place, under running pods.
go_driver_manifests() {
  sed -e "s#KUBELET#$E2E_KUBELET_DIR#" -e "s#IMAGE#$E2E_IMAGE#" "$root/scripts/e2e/go-driver.yaml" |
    kubectl apply -f - >/dev/null
  kubectl -n kube-system rollout status daemonset/csi-oras-node --timeout="${E2E_TIMEOUT}s" >/dev/null
  eventually some_node_has_it
  basic_pods
  filtered_pod
  broken_reference
  kubectl -n kube-system rollout restart daemonset/csi-oras-node >/dev/null
  kubectl -n kube-system rollout status daemonset/csi-oras-node --timeout="${E2E_TIMEOUT}s" >/dev/null
  expect hello in_pod artifact-basic cat /mnt/oras/hello.txt
  kubectl -n kube-system delete daemonset csi-oras-node --wait >/dev/null
  eventually no_pod_of_go_driver
  kubectl delete csidriver "$driver" >/dev/null
  install_driver
  expect hello in_pod artifact-second cat /mnt/second-oras/hello.txt
  gone artifact-basic artifact-second artifact-on-kind
  pod after-replacement "$registry/github-ci:latest"
  ready pod/after-replacement
  gone after-replacement
  ! mounts | grep -v '^0$' || fail "mounts of the Go driver's manifests are left"
  kubectl -n kube-system delete configmap/csi-oras-config serviceaccount/csi-oras-node-sa >/dev/null
  "$root/scripts/uninstall.sh" --namespace "$E2E_DRIVER_NAMESPACE" --image busybox --purge | sed 's/^/          /'
  nothing_left
}

some_node_has_it() { ! no_node_has_it; }

no_pod_of_go_driver() { [ -z "$(kubectl -n kube-system get pods -l app=csi-oras-node -o name)" ]; }

remove_helpers() {
  kubectl delete namespace "$E2E_NAMESPACE" "$E2E_NAMESPACE-other" --ignore-not-found --wait=false >/dev/null
}
