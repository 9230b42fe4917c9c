#!/usr/bin/env bash
# Installs what kind-smoke.sh and `npm run image` need on a Debian or Ubuntu machine with Go.
set -euo pipefail
sudo apt-get update
sudo apt-get install --yes --no-install-recommends buildah skopeo debian-archive-keyring dpkg binutils
go install sigs.k8s.io/kind@v0.30.0
go install helm.sh/helm/v3/cmd/helm@latest
go install oras.land/oras/cmd/oras@v1.3.6
