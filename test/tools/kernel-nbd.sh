#!/bin/bash
# Attached volumes through the kernel's NBD client, for machines whose own kernel has none: boots Debian's kernel in an emulated
# machine (qemu, without hardware help: some five minutes) that has this machine's files read-only, and attaches a volume there.
#   test/tools/kernel-nbd.sh
# As root. Needs qemu-system-x86, nbd-client, busybox-static, cpio, fio and e2fsprogs; downloads the kernel's package by apt.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)

guest() {
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp MORTAR_LOG_DIRECTORY=/tmp/l MORTAR_RUN_DIRECTORY=/tmp/r
  set +e
  passed=0 failed=0
  check() {
    local what=$1
    shift
    if "$@" >/tmp/said 2>&1; then passed=$((passed + 1)) && echo "  passed: $what"; else
      failed=$((failed + 1)) && echo "  FAILED: $what" && sed 's/^/    /' /tmp/said
    fi
  }
  cd /tmp && mkdir -p l r
  local place='[server big-9]\naddress=127.0.0.1\nport=7777\n'
  printf '[namespace osl]\n[server big-9]\nserverid=1\n[interface if0]\naddress=127.0.0.1\nport=7777\n[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n[device disk]\npath=/tmp/disk\nsize=128m\ncreate=yes\n' >rssrvcfg
  printf "[defaults]\nattach=nbd\n[namespace osl]\nnodename=big-2\nnodekey=0xbig2\n$place" >rscltcfg
  server() { "$here/bin/rssrv" -c rssrvcfg -p /tmp/rssrv.pid; }
  config() { "$here/bin/rsconfig" -s /tmp/r/rsiod.socket "$@"; }
  is_gone() { [ ! -e /sys/block/nbd0/pid ]; }
  refuses() { ! "$@"; }

  echo "kernel $(uname -r)"
  check 'rssrv starts' server
  check 'rsiod starts' "$here/bin/rsiod" -c rscltcfg -p /tmp/rsiod.pid -D /tmp/av0 -s /tmp/r/rsiod.socket -e /tmp/r/rsiod.nbd
  sleep 3
  check 'the volume is attached' config -a disk
  node=$(readlink -f /tmp/av0/disk)
  check 'by nbd' test "${node#/dev/nbd}" != "$node"
  check 'with its size' test "$(cat "/sys/block/${node#/dev/}/size")" = 262144
  check 'discards are taken' test "$(cat "/sys/block/${node#/dev/}/queue/discard_max_bytes")" -gt 0
  check 'mkfs' mkfs.ext4 -q "$node"
  check 'mount' mount "$node" /mnt
  dd if=/dev/urandom of=/mnt/x bs=1M count=40 2>/dev/null
  md5sum /mnt/x >x.md5
  check 'fstrim' fstrim /mnt
  check 'umount' umount /mnt
  check 'fsck' fsck.ext4 -fn "$node"
  echo 3 >/proc/sys/vm/drop_caches
  mount "$node" /mnt
  check 'what was written is read' md5sum -c x.md5
  umount /mnt
  check 'fio verifies' fio --name=v --filename="$node" --direct=1 --ioengine=libaio --iodepth=16 --bs=4k --size=8m \
    --rw=randwrite --verify=crc32c --do_verify=1 --verify_fatal=1 --verify_state_save=0
  exec 9<"$node"
  check 'it stays while it is in use' refuses config -d disk
  exec 9<&-
  sleep 0.5
  check 'it is detached' config -d disk
  check 'and disconnected' is_gone
  check 'it is attached again' config -a disk
  dd if=/dev/urandom of="$node" bs=4k count=300 oflag=direct 2>dd.said &
  local writer=$!
  sleep 1
  kill -9 "$(cat /tmp/rssrv.pid)"
  sleep 2
  check 'the killed server starts again' server
  check 'its users have only waited' wait $writer
  kill "$(cat /tmp/rsiod.pid)"
  sleep 5
  check 'rsiod leaves nothing connected' is_gone
  check 'nor a link' test ! -e /tmp/av0/disk
  echo "$passed passed, $failed failed"
}

if [ "${1:-}" = guest ]; then
  guest
  exit
fi

for program in qemu-system-x86_64 nbd-client busybox cpio fio mkfs.ext4; do
  PATH=$PATH:/usr/sbin:/sbin command -v $program >/dev/null || { echo "$program is not installed" >&2 && exit 2; }
done
[ -e "$here/dist/rsiod.mjs" ] || (cd "$here" && npm run -s build)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
package=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ { print $2; exit }')
apt-get -qq download "$package"
dpkg -x "$package"_*.deb kernel
modules=$(echo kernel/lib/modules/*)
# In the order in which they can be loaded.
wanted='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci 9pnet 9pnet_virtio netfs fscache 9p crc16 crc32c_generic mbcache jbd2 ext4 nbd'
mkdir -p first/bin first/mods first/root first/proc first/sys first/dev
cp "$(command -v busybox)" first/bin/busybox
for module in $wanted; do find "$modules" -name "$module.ko" -exec cp {} first/mods/ \; ; done
cat >first/init <<INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc none /proc && \$b mount -t sysfs none /sys && \$b mount -t devtmpfs none /dev
for module in $wanted; do \$b insmod /mods/\$module.ko || echo "\$module is not loaded"; done
\$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /root
for place in proc sys dev; do \$b mount --move /\$place /root/\$place; done
for place in tmp run mnt; do \$b mount -t tmpfs none /root/\$place; done
\$b ip link set lo up
\$b chroot /root /bin/bash '$here/test/tools/kernel-nbd.sh' guest
\$b poweroff -f
INIT
chmod +x first/init
(cd first && find . | cpio --quiet -o -H newc | gzip -1) >first.gz
timeout 1800 qemu-system-x86_64 -accel tcg,tb-size=512 -cpu Nehalem -m 1800 -smp 1 -nographic -no-reboot -net none \
  -kernel kernel/boot/vmlinuz-* -initrd first.gz -append 'console=ttyS0 quiet panic=1 init=/init' \
  -virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap" </dev/null | tee said
grep -q ' passed, 0 failed' said
