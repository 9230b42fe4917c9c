#!/usr/bin/env bash
# Looks at all shell scripts with shellcheck and at the workflows with actionlint; names what is not installed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:$(go env GOPATH 2>/dev/null || printf %s "$HOME/go")/bin
failed=0

if ! command -v shellcheck >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update && apt-get install -y --no-install-recommends shellcheck; } >/dev/null 2>&1
fi
if command -v shellcheck >/dev/null; then
  shellcheck --external-sources scripts/*.sh scripts/e2e/*.sh .ci/run .ci/image .ci/e2e || failed=1
else
  echo "skipped: the shell scripts (shellcheck is not installed)"
fi

if ! command -v actionlint >/dev/null && command -v go >/dev/null; then
  go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7 2>/dev/null
fi
if command -v actionlint >/dev/null; then
  actionlint || failed=1
else
  echo "skipped: the workflows (neither actionlint nor Go is installed)"
fi
exit "$failed"
