#!/bin/sh
# Installs what package-lock.json names, when that is not done yet. Says nothing when there is nothing to do.
# The npm scripts run this before they start Node: node_modules/.bin/node is the pinned Node, first in npm's PATH, and
# the calling shell must not look `node` up earlier, because it would remember the machine's own.
set -eu
cd "$(dirname "$0")/.."

if [ "$(uname -s)" != Linux ]; then
  echo "oras-csi mounts volumes with Linux system calls: please run this on Linux (a container or a virtual machine will do)." >&2
  exit 1
fi
case "$(uname -m)" in
  x86_64 | aarch64) ;;
  *)
    echo "oras-csi is built for x86_64 and aarch64; this machine is $(uname -m)." >&2
    exit 1
    ;;
esac

# A worktree may borrow another one's folder. npm would empty that one and then make its own.
if [ -L node_modules ]; then
  [ -x node_modules/.bin/node ] && exit 0
  echo "node_modules is a link to a folder that is not installed: please run npm ci there." >&2
  exit 1
fi

# npm writes this file last, so that an install which was cut off counts as none.
done_file=node_modules/.package-lock.json
if [ -f "$done_file" ] && [ -z "$(find package-lock.json -newer "$done_file")" ]; then
  exit 0
fi

# npm replaces node_modules and must not run on the Node in it.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v 'node_modules/\.bin$' | tr '\n' ':')
if ! command -v npm >/dev/null; then
  echo "npm is missing: please install Node.js 20 or newer with npm." >&2
  exit 1
fi

# Node 26 is linked against libatomic, which slim systems lack; the install scripts of some packages start it already.
if [ -z "$(find /lib/ /usr/lib/ /lib64/ /usr/lib64/ -name libatomic.so.1 2>/dev/null | head -n 1)" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing libatomic1, which Node 26 needs (apt-get) ..." >&2
    { apt-get update && apt-get install -y --no-install-recommends libatomic1; } >/dev/null
  else
    echo "Node 26 needs libatomic.so.1: please install it (Debian: libatomic1, Fedora: libatomic)." >&2
    exit 1
  fi
fi

echo "installing dependencies (npm ci) ..." >&2
if ! report=$(npm ci --no-progress --loglevel=error 2>&1); then
  echo "$report" >&2
  echo "npm ci failed: see above." >&2
  exit 1
fi

if ! node_modules/.bin/node --version >/dev/null; then
  echo "the pinned Node does not start here: it needs glibc 2.28 or newer, libstdc++ and libatomic." >&2
  exit 1
fi
