#!/usr/bin/env bash
# Builds an engine's file system: root.sh BASE.tar FOLDER [ADDITION.sh] leaves FOLDER/root, or nothing.
set -euo pipefail
base=$1 at=$2 addition=${3:-}
half=$at.building
rm -rf --one-file-system "$half"
mkdir -p "$half/root" "$at"
trap 'rm -rf --one-file-system "$half"' EXIT
root=$half/root

tar -C "$root" -xf "$base"
apt-config dump | grep -E '^Acquire::' > "$root/etc/apt/apt.conf.d/90host" || true # the host's proxies and the like
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d" # packages must start no services
chmod +x "$root/usr/sbin/policy-rc.d"

# shellcheck disable=SC2016 # $1 and $@ are the inner shell's
unshare --mount --pid --fork --kill-child bash -euc '
  mount --make-rprivate /
  mount -t proc proc "$1/proc"
  mount --rbind /dev "$1/dev"
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C
  chroot "$1" apt-get -q update
  chroot "$1" apt-get -q install --yes --no-install-recommends "${@:2}"
  chroot "$1" apt-get clean
' - "$root" docker.io docker-cli docker-buildx docker-compose containerd runc crun iptables \
  ca-certificates iproute2 kmod libseccomp2 passt procps util-linux

[[ -z $addition ]] || "$addition" "$half" "$root"
mv "$root" "$at/root"
