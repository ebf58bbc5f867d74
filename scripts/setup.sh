#!/bin/bash
# Installs what is missing to build, test and run Mortar here, and says what it does. Run again at any time: what is
# there stays as it is.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

say() { echo "setup: $*" >&2; }

if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
  say "Node 20.19 or newer is needed, found $(node --version 2>/dev/null || echo none)"
  exit 1
fi

# npm writes node_modules/.package-lock.json when it has finished.
if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
  say "installing npm packages"
  # npm ci refuses a lock file that lacks optional packages for other platforms; npm leaves them out when the registry
  # that the file was made with does not carry them. npm install takes the versions of the lock file as well.
  problem=$(npm ci --no-audit --no-fund --loglevel=error 2>&1 >/dev/null) || {
    say "npm ci failed ($(grep -m 1 'code ' <<<"$problem" || echo "$problem")); trying npm install"
    npm install --no-audit --no-fund --loglevel=error >&2
  }
  touch node_modules/.package-lock.json
fi

node scripts/build.mjs --if-stale

# fuse3: fusermount3 and mount.fuse3, for mounts of users and `mount -t fuse.glusterfs`. attr: getfattr, setfattr.
packages=()
command -v fusermount3 >/dev/null || packages+=(fuse3)
command -v getfattr >/dev/null || packages+=(attr)
if ((${#packages[@]} > 0)); then
  if [[ $(id -u) == 0 && -e /etc/debian_version ]] && command -v apt-get >/dev/null; then
    say "installing Debian packages: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "${packages[@]}" >&2 </dev/null ||
      { apt-get update >&2 </dev/null && apt-get install -y --no-install-recommends "${packages[@]}" >&2 </dev/null; } ||
      say "could not install ${packages[*]}; what needs them will say so"
  else
    say "missing programs of these packages: ${packages[*]} (installed here only by root on Debian)"
  fi
fi
if [[ ! -e /dev/fuse ]]; then
  say "/dev/fuse is missing: volumes cannot be mounted here (modprobe fuse; in a container: --device /dev/fuse)"
fi
