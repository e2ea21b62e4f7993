#!/usr/bin/env bash
# Makes a minimal Debian: base.sh RELEASE TAR; it is the ground of an engine's root and, for trixie, debian:trixie-slim.
set -euo pipefail
release=$1 tar=$2
mirror=${WASMDOCK_DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${WASMDOCK_DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}

exec 8> "$tar.lock" # two suites may want the same base
flock 8
[[ ! -e $tar ]] || exit 0
half=$tar.building
rm -rf --one-file-system "$half"
mkdir -p "$half/lists/partial"
trap 'rm -rf --one-file-system "$half"' EXIT
cd "$half"

# debootstrap and Debian's keys come from the host's apt, unpacked here: nothing is installed on the host.
wanted=(debootstrap debian-archive-keyring)
apt-get -q download "${wanted[@]}" || {
  apt-get -q -o Dir::State::lists="$half/lists" update
  apt-get -q -o Dir::State::lists="$half/lists" download "${wanted[@]}"
}
for package in ./*.deb; do dpkg-deb -x "$package" tools; done
DEBOOTSTRAP_DIR=$half/tools/usr/share/debootstrap tools/usr/sbin/debootstrap --variant=minbase \
  --keyring="$half/tools/usr/share/keyrings/debian-archive-keyring.gpg" "$release" "$half/base" "$mirror"

# As Debian's own slim images: no manuals, translations or package lists, now and in later installs.
cd base
rm -rf var/cache/apt/*.bin var/cache/apt/archives/*.deb var/lib/apt/lists/* var/log/* usr/share/{man,info,locale}/* \
  etc/{resolv.conf,hostname,machine-id}
find usr/share/doc ! -type d ! -name copyright -delete
printf 'path-exclude /usr/share/%s/*\n' man info locale doc > etc/dpkg/dpkg.cfg.d/slim
echo 'path-include /usr/share/doc/*/copyright' >> etc/dpkg/dpkg.cfg.d/slim
if [[ $release != sid ]]; then
  echo "deb $mirror $release-updates main" >> etc/apt/sources.list
  echo "deb $security $release-security main" >> etc/apt/sources.list
fi
chmod 1777 tmp
tar --numeric-owner -cf "$half/base.tar" .
mv "$half/base.tar" "$tar"
