#!/usr/bin/env bash
# Puts the newest dockerd and containerd, which no distribution has yet, over Debian's: newest.sh SCRATCH ROOT.
set -euo pipefail
scratch=$1 root=$2
moby=github.com/moby/moby/v2 moby_version=v2.0.0-beta.24
containerd=github.com/containerd/containerd/v2 containerd_version=v2.3.5
programs=$(dirname "$scratch")/go-$moby_version-$containerd_version # kept: a new root then takes seconds, not minutes

build_programs() {
  # Static, so that they do not depend on which libc the host has; in folders of their own, so that ~/go stays as it is.
  export CGO_ENABLED=0 GOTOOLCHAIN=auto GOBIN=$scratch/bin GOPATH=$scratch/go GOCACHE=$scratch/go-build GOFLAGS=-modcacherw
  # docker-proxy belongs to dockerd: an older one does not know the flags it is given.
  go install -ldflags "-s -w -X $moby/dockerversion.Version=${moby_version#v}" $moby/cmd/{dockerd,docker-proxy}@$moby_version
  go install -ldflags "-s -w -X $containerd/version.Version=$containerd_version" \
    $containerd/cmd/{containerd,containerd-shim-runc-v2,ctr}@$containerd_version
  mv "$scratch/bin" "$programs"
}

[[ -d $programs ]] || build_programs
cp "$programs"/* "$root/usr/local/bin/" # before Debian's on the engine's PATH
