#!/usr/bin/env bash
# Runs the engine inside its own root: network, containerd, dockerd; ends when dockerd ends or on SIGTERM.
set -euo pipefail
group=$1 nameserver=$2
trap "exit 0" TERM INT # a first process without a handler would not see them
key=$(cksum <<< "$group" | cut -d ' ' -f 1)
in_engine=(nsenter --net=/run/netns/engine --)

# A /30 of its own: the host takes .1, the engine .2; the next one where the host already has a route there.
make_network() {
  ip netns add engine
  local tries
  for ((tries = 0; tries < 250; tries++)); do
    net=10.214.$(((key + tries) % 250 + 1)) link=wasmdock$(((key + tries) % 250 + 1))
    [[ -z $(ip -4 route show table main root $net.0/24) ]] || continue
    if ip link add "$link" type veth peer name host netns engine; then break; fi
  done
  ip addr add "$net.1/30" dev "$link"
  ip link set "$link" up
  "${in_engine[@]}" sh -c "ip link set lo up; ip addr add $net.2/30 dev host; ip link set host up"
  # As root, because `nobody` may not enter the namespace; -T none, or the host's own ports would be taken in here;
  # --no-map-gw, or containers would reach what listens on the host's 127.0.0.1; --host-lo-to-ns-lo, or a port published
  # on 127.0.0.1 alone would not answer there.
  pasta --quiet --runas 0:0 --netns /run/netns/engine --netns-only --config-net --ns-ifname out --ipv4-only \
    --no-map-gw --host-lo-to-ns-lo --address 10.0.2.15 --netmask 24 --gateway 10.0.2.2 --dns-forward 10.0.2.3 \
    --dns-host "$nameserver" -t auto -u none -T none -U none --log-file /run/pasta.log
}

configure() {
  mkdir -p /etc/docker /etc/containerd
  cat > /etc/docker/daemon.json <<- EOF
	{"features": {"containerd-snapshotter": true}, "cgroup-parent": "/$group",
	 "containerd": "/run/containerd/containerd.sock", "hosts": ["unix:///run/docker.sock"],
	 "insecure-registries": ["$net.1/32"], "runtimes": {"crun": {"path": "/usr/bin/crun"}}}
	EOF
  printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > /etc/containerd/config.toml
}

# As systemd would: a containerd that was killed comes back, to the containers that went on without it.
keep_containerd() {
  local child stopping=""
  trap 'stopping=1; kill -TERM "$child"' TERM
  while [[ -z $stopping ]]; do
    "${in_engine[@]}" containerd &
    child=$!
    wait "$child" || wait "$child" || true # once more, for a signal ends the first
    [[ -n $stopping ]] || { echo "containerd ended, and is started again"; sleep 0.5; }
  done
}

make_network
configure
keep_containerd &
containerd=$!
for ((tries = 0; tries < 100; tries++)); do [[ -S /run/containerd/containerd.sock ]] && break; sleep 0.1; done
"${in_engine[@]}" dockerd &
dockerd=$!
trap 'kill -TERM $dockerd; wait $dockerd; kill -TERM $containerd; wait $containerd; exit 0' TERM INT
echo "$link" > /run/wasmdock-link
echo "$net.2" > /run/wasmdock-address
wait -n $containerd $dockerd # the kernel ends all the rest when this, the namespace's first process, ends
echo "error: dockerd ended"
