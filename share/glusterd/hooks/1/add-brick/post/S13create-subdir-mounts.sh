#!/bin/bash
# Directories that auth.allow names are made on bricks that were just added. Clients that may use nothing but such a
# directory cannot do it themselves: a brick that lacks it does not let them in.
set -u
volume=
workdir=/var/lib/glusterd
for word in "$@"; do
    case $word in
        --volname=*) volume=${word#*=} ;;
        --gd-workdir=*) workdir=${word#*=} ;;
    esac
done
[ -n "$volume" ] || exit 0
allow=$(sed -n 's/^auth\.allow=//p' "$workdir/vols/$volume/info") || exit 1

directories=()
IFS=, read -r -a entries <<< "$allow"
for entry in "${entries[@]}"; do
    directory=${entry%%(*}
    case $directory in
        / | [!/]*) ;;
        *) directories+=("$directory") ;;
    esac
done
[ ${#directories[@]} -gt 0 ] || exit 0

mountpoint=$(mktemp -d "${TMPDIR:-/tmp}/create-subdir-mounts.XXXXXX") || exit 1
trap 'umount -l "$mountpoint" 2>/dev/null; rmdir "$mountpoint"' EXIT
glusterfs -s localhost --volfile-id="$volume" --client-pid=-50 "$mountpoint" || exit 1
failed=0
for directory in "${directories[@]}"; do
    # Each directory on the way: looking it up is what makes it where it is missing.
    path=$mountpoint
    IFS=/ read -r -a names <<< "${directory#/}"
    for name in "${names[@]}"; do
        path=$path/$name
        stat -- "$path" > /dev/null || { failed=1; break; }
    done
done
exit $failed
