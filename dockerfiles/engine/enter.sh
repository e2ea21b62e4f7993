#!/usr/bin/env bash
# The engine's first process, in fresh mount and PID namespaces: enter.sh FOLDER CGROUP makes FOLDER/root its / and
# becomes run.sh.
set -euo pipefail
at=$1 root=$1/root group=$2
read -r pid _ < /proc/self/stat # /proc is still the host's, so this is the pid as the host sees it
echo "$pid $(readlink /proc/self/ns/pid)" > "$at/pid.new"
mv "$at/pid.new" "$at/pid"

nameserver=$(awk '$1 == "nameserver" && $2 !~ /:/ { print $2; exit }' /etc/resolv.conf)
[[ -n $nameserver ]] || { echo "error: no IPv4 nameserver in /etc/resolv.conf for the engine to ask"; exit 1; }
{ # pasta's address, see run.sh: the host's own may be one that only the host reaches
  grep -E '^(search|options)' /etc/resolv.conf || true
  echo nameserver 10.0.2.3
} > "$root/etc/resolv.conf"
if [[ -s /etc/ssl/certs/ca-certificates.crt ]]; then # the host may trust a proxy that Debian does not
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi

rm -rf --one-file-system "${root:?}/run"
mkdir -p "$root/run" # on disk: the host reaches the socket there
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --rbind /var/tmp "$root/var/tmp"
for folder in /*; do
  case $folder in
    /bin | /boot | /dev | /etc | /lib* | /lost+found | /opt | /proc | /run | /sbin | /sys | /usr | /var) ;;
    *) if [[ -d $folder && ! -L $folder ]]; then mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"; fi ;;
  esac
done
if [[ -d /lib/modules ]]; then mkdir -p "$root/lib/modules"; mount --bind /lib/modules "$root/lib/modules"; fi
# crun refuses cgroup v1 with v2 mounted beside it ("hybrid mode").
if mountpoint -q "$root/sys/fs/cgroup/unified"; then umount "$root/sys/fs/cgroup/unified"; fi

cd "$root"
mkdir -p .host
pivot_root . .host # not chroot: `docker build` remounts /
umount -l /.host
cd /
# "container" tells Docker and containerd to leave AppArmor alone: its profiles would outlive the engine.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root container=wasmdock \
  ${HTTP_PROXY:+HTTP_PROXY="$HTTP_PROXY"} ${HTTPS_PROXY:+HTTPS_PROXY="$HTTPS_PROXY"} ${NO_PROXY:+NO_PROXY="$NO_PROXY"} \
  /usr/local/sbin/wasmdock-engine "$group" "$nameserver"
