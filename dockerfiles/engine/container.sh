#!/bin/sh
# The first process of the engine's container: makes it ready and becomes dockerd. OWNER is uid:gid of the socket; TLS=1
# listens on port 2376 too, with certificates of its own in /certs.
set -eu

# cgroup v2 lets no group hold both processes and controllers for others: ours moves into a group of its own.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p /sys/fs/cgroup/engine
  xargs -rn1 < /sys/fs/cgroup/cgroup.procs > /sys/fs/cgroup/engine/cgroup.procs || true
  sed -e 's/ / +/g' -e 's/^/+/' < /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
fi
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified || true; fi # crun refuses both at once

# What a kill or a restart left.
mkdir -p /run/wasmdock
rm -f /run/docker.pid /run/docker/containerd/containerd.pid /run/wasmdock/docker.sock

set -- --host unix:///run/wasmdock/docker.sock
if [ "${TLS:-}" = 1 ]; then
  [ -e /certs/ready ] || wasmdock-certificates
  set -- "$@" --host tcp://0.0.0.0:2376 --tlsverify --tlscacert /certs/ca.pem --tlscert /certs/server/cert.pem \
    --tlskey /certs/server/key.pem
fi
if [ -n "${OWNER:-}" ]; then
  (until [ -S /run/wasmdock/docker.sock ]; do sleep 0.1; done; chown "$OWNER" /run/wasmdock/docker.sock) &
fi
exec dockerd "$@"
