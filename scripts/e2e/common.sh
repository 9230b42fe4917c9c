# What the steps of e2e.sh and kind-smoke.sh have in common. Sourced, with `root` set to the folder of the project.
# shellcheck shell=bash
# shellcheck disable=SC2154

: "${E2E_NAMESPACE:=oras-csi-e2e}" "${E2E_DRIVER_NAMESPACE:=oras-csi}" "${E2E_IMAGE:=localhost:5001/oras-csi:e2e}"
: "${E2E_KUBELET_DIR:=/var/lib/kubelet}" "${E2E_TIMEOUT:=120}"
driver=csi.oras.land
work=$(mktemp -d)
passed=() skipped=() failed=()

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() { printf '          %s\n' "$*" >&2; return 1; }

# step NAME COMMAND...: runs a step in a shell of its own, so that a step that fails leaves the others alone.
step() {
  local name=$1 verdict started=$SECONDS
  shift
  say "$name"
  set +e
  (set -e; "$@")
  verdict=$?
  set -e
  case $verdict in
    0) passed+=("$name") ;;
    77) skipped+=("$name: $(cat "$work/skipped")") ;;
    *) failed+=("$name"); show_state ;;
  esac
  say "  $([ $verdict = 0 ] && printf ok || { [ $verdict = 77 ] && printf 'skipped: %s' "$(cat "$work/skipped")"; } || printf FAILED) ($((SECONDS - started)) s)"
}

# skip REASON...: ends a step that this cluster cannot do.
skip() { printf '%s' "$*" > "$work/skipped"; exit 77; }

summary() {
  local line
  printf '\n%d passed, %d skipped, %d failed\n' "${#passed[@]}" "${#skipped[@]}" "${#failed[@]}"
  for line in ${skipped[@]+"${skipped[@]}"}; do printf 'skipped  %s\n' "$line"; done
  for line in ${failed[@]+"${failed[@]}"}; do printf 'FAILED   %s\n' "$line"; done
  [ ${#failed[@]} = 0 ]
}

# What there is to know when a step failed.
show_state() {
  kubectl -n "$E2E_NAMESPACE" get pods -o wide 2>&1 | sed 's/^/          /'
  kubectl -n "$E2E_NAMESPACE" get events --field-selector type=Warning 2>&1 | tail -5 | cut -c1-400 | sed 's/^/          /'
  kubectl -n "$E2E_DRIVER_NAMESPACE" logs -l app.kubernetes.io/name=oras-csi --tail=5 2>&1 | cut -c1-400 | sed 's/^/          /'
}

# eventually COMMAND...: until it succeeds, at most $E2E_TIMEOUT seconds.
eventually() {
  local until=$((SECONDS + E2E_TIMEOUT))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || fail "not within $E2E_TIMEOUT s: $*" || return 1
    sleep 0.5
  done
}

# expect WANTED COMMAND...: the command prints that.
expect() {
  local wanted=$1 got
  shift
  got=$("$@") || fail "failed: $*" || return 1
  [ "$got" = "$wanted" ] || fail "'$got' instead of '$wanted': $*"
}

k() { kubectl -n "$E2E_NAMESPACE" "$@"; }

# in_pod POD COMMAND...
in_pod() {
  local pod=$1
  shift
  k exec "$pod" -- "$@"
}

ready() { k wait --for=condition=Ready --timeout="${E2E_TIMEOUT}s" "$@" >/dev/null; }

# gone POD...: deletes them and waits until they are away.
gone() { k delete pod "$@" --now --wait --timeout="${E2E_TIMEOUT}s" >/dev/null; }

# pod NAME REFERENCE [VOLUME-YAML [POD-YAML]]: a pod with an artifact at /data. The two are flow mappings' insides.
pod() {
  k apply -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec: {$(printf '%s' "${4:+$4, }") containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "100000"], volumeMounts: [{name: artifact, mountPath: /data}]}], terminationGracePeriodSeconds: 0,
  volumes: [{name: artifact, csi: {driver: $driver, ${3:-readOnly: true}, volumeAttributes: {oras.artifact.reference: "$2", oras.options.plainhttp: "true"}}}]}
POD
}

# example FILE: applies an example with its reference changed to one of the cluster's own registry.
example() {
  sed -E -e '/oras\.options\.plainhttp/d' \
    -e "s#^( *)(oras\.artifact\.reference:) [^ ]*/([^/ ]+)\$#\1\2 $registry/\3\n\1oras.options.plainhttp: \"true\"#" \
    "$root/examples/$1" | k apply -f - >/dev/null
}

# events POD: the messages of the pod's warnings, as `kubectl describe pod` shows them.
described() { k describe pod "$1" | sed -n '/^Events:/,$p'; }

# says POD PATTERN: whether one of them has it. (With -q grep would end before kubectl does, which pipefail takes for failure.)
says() { described "$1" | grep -E -- "$2" >/dev/null; }

# on_nodes COMMAND...: runs it in a pod on each node that sees the node's processes and, by /proc/1, its mounts.
on_nodes() {
  local shell
  for shell in $(k get pods -l app=node-shell -o name); do k exec "$shell" -- "$@" || return 1; done
}

# mounts: how many volumes are mounted, node by node.
mounts() { on_nodes sh -c "grep -c ' $E2E_KUBELET_DIR/pods/[^ ]*/kubernetes.io~csi/' /proc/1/mountinfo || true"; }

# requests PATH: how many requests for a path the registry saw.
requests() { k logs registry | grep -c "GET $1" || true; }
