#!/bin/busybox sh
# First process of the guest, from the initrd. Builds the guest's root out of the host's (read-only, over 9p),
# the packages of the guest and a RAM overlay, runs /vm/job/command in it, and powers off.
# Kernel command line: vm.out=PATH, where the directory that host and guest share appears.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
fail() { echo "guest: $*"; poweroff -f; }

for module in /modules/*; do
  [ -e "$module" ] || break # a kernel that has all of them built in
  insmod "$module" || fail "cannot load $module"
done

share() { # TAG DIRECTORY OPTIONS
  mkdir -p "$2" && mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2" || fail "cannot mount $1"
}
share host /layers/host cache=loose,ro
share kernel /layers/kernel cache=loose,ro
share job /layers/job cache=loose,ro
layers=/layers/host
for tag in $(cat /sys/bus/virtio/drivers/9pnet_virtio/virtio*/mount_tag | tr '\0' '\n'); do
  case $tag in packages*) share "$tag" "/layers/$tag" cache=loose,ro; layers=/layers/$tag:$layers ;; esac
done

mkdir -p /layers/ram
mount -t tmpfs -o size=75%,mode=755 ram /layers/ram
mkdir -p /layers/ram/upper /layers/ram/work /root
mount -t overlay -o "lowerdir=$layers,upperdir=/layers/ram/upper,workdir=/layers/ram/work" root /root || fail "cannot mount the root"

release=$(uname -r)
mkdir -p /root/proc /root/sys /root/dev /root/run /root/vm "/root/usr/lib/modules/$release"
mount -t tmpfs -o mode=755 run /root/run
mount -t tmpfs -o mode=755 vm /root/vm
mkdir -p /root/run/lock /root/run/netns /root/vm/job
mount --bind "/layers/kernel/modules/usr/lib/modules/$release" "/root/usr/lib/modules/$release" || fail "no modules"
mount --bind /layers/job /root/vm/job
out=$(sed -n 's/.*vm\.out=\([^ ]*\).*/\1/p' /proc/cmdline)
[ -z "$out" ] || share out "/root$out" cache=none,access=client

mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666,mode=620 pts /dev/pts
mount -t tmpfs shm /dev/shm
ln -sf /proc/self/fd /dev/fd
for fd in 0:stdin 1:stdout 2:stderr; do ln -sf "/proc/self/fd/${fd%:*}" "/dev/${fd#*:}"; done
for port in /sys/class/virtio-ports/*; do ln -sf "/dev/${port##*/}" "/dev/vm-$(cat "$port/name")"; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
ip link set lo up
echo guest >/proc/sys/kernel/hostname

# Ports take one writer at a time, so that a job which reopens /dev/stdout needs a pipe before them.
cp /bin/busybox /root/vm/busybox
cat >/root/vm/init <<'INIT'
#!/vm/busybox sh
cd /vm && ./busybox mkfifo stdout stderr
./busybox cat stdout >/dev/vm-stdout & out=$!
./busybox cat stderr >/dev/vm-stderr & err=$!
/usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
  /bin/sh /vm/job/command </dev/null >stdout 2>stderr
status=$?
for process in /proc/[0-9]*; do # what the job left behind would hold the pipes open
  case ${process#/proc/} in 1 | $out | $err) ;; *) kill -9 "${process#/proc/}" 2>/dev/null ;; esac
done
wait
echo "$status" >/dev/vm-status
./busybox sync
./busybox poweroff -f
INIT
chmod +x /root/vm/init
for tree in dev proc sys; do mount --move "/$tree" "/root/$tree"; done
echo 'guest: booted'
exec switch_root -c /dev/console /root /vm/init
