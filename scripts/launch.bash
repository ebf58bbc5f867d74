# Sourced by bin/*: replaces the shell by Node running dist/NAME.mjs. Arguments: NAME and the program's own.
# argv[0] is NAME, for pidof and ps; the program itself sets the kernel's short name (comm).
name=$1
shift
root=${self%/*}
root=${root%/*}

# Asked before every check of GlusterFS's test scripts: not worth a start of Node.
if [[ $name == gluster && $# -eq 1 ]]; then
  case $1 in
    --print-logdir) echo "${MORTAR_LOG_DIRECTORY:-/var/log/glusterfs}"; exit 0 ;;
    --print-statedumpdir) echo "${MORTAR_RUN_DIRECTORY:-/var/run/gluster}"; exit 0 ;;
  esac
fi

if [[ ! -r $root/dist/$name.mjs ]]; then
  echo "$name: run 'npm run build' in $root first" >&2
  exit 127
fi
node=${MORTAR_NODE:-$(type -P node)}
if [[ -z $node ]]; then
  echo "$name: node (version 20 or newer) is not in PATH" >&2
  exit 127
fi

case $name in
  glusterd | glusterfsd | glusterfs | mount.glusterfs | rssrv | rsiod)
    # A daemon keeps nothing that its starter has open: whoever reads a pipe waits for the last writer. 255 is this script.
    for fd in /proc/$$/fd/*; do
      fd=${fd##*/}
      ((fd > 2 && fd != 255)) && exec {fd}>&-
    done
    # A brick or a busy client has many files open; Node cannot raise the limit itself.
    ulimit -n 1048576 2>/dev/null || ulimit -n 65536 2>/dev/null || ulimit -S -n "$(ulimit -H -n)" 2>/dev/null
    ;;
esac
exec -a "$name" "$node" "$root/dist/$name.mjs" "$@"
