#!/bin/bash
# Links the commands of this checkout into the system's directories, or removes those links again.
# Usage: install-system.sh install|uninstall      PREFIX (default /) is put before the system's directories.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
prefix=${PREFIX:-}
prefix=${prefix%/}

# mount(8) looks for its helpers in /sbin only.
links=()
for command in gluster gluster-eventsapi glusterd glusterfsd glusterfs gf_attach rssrv rsslogcat rsiod rsconfig rsclogcat crsio; do
  links+=("$prefix/usr/local/sbin/$command $root/bin/$command")
done
links+=("$prefix/sbin/mount.glusterfs $root/bin/mount.glusterfs")

own() { [[ -L $1 && $(readlink "$1") == "$2" ]]; }

# What is not ours stays as it is, and then nothing is linked: half of the commands would be another program's.
check_links() {
  local entry link target failed=0
  for entry in "${links[@]}"; do
    read -r link target <<<"$entry"
    if own "$link" "$target" || [[ ! -e $link && ! -L $link ]]; then continue; fi
    echo "install-system: $link exists and is not of this checkout; remove it (or the package it is of) first" >&2
    failed=1
  done
  return $failed
}

install_links() {
  local entry link target
  check_links || {
    echo "install-system: nothing was changed" >&2
    return 1
  }
  for entry in "${links[@]}"; do
    read -r link target <<<"$entry"
    if own "$link" "$target"; then continue; fi
    mkdir -p "$(dirname "$link")"
    ln -s "$target" "$link"
    echo "$link -> $target"
  done
}

uninstall_links() {
  local entry link target
  for entry in "${links[@]}"; do
    read -r link target <<<"$entry"
    if own "$link" "$target"; then
      rm "$link"
      echo "removed $link"
    fi
  done
}

case ${1:-} in
  install) install_links ;;
  uninstall) uninstall_links ;;
  *)
    echo "usage: install-system.sh install|uninstall" >&2
    exit 2
    ;;
esac
