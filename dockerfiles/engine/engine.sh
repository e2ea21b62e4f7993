# The verbs of scripts/engine, which sources this file and has set $here and $suite.
# shellcheck shell=bash disable=SC2154,SC2046,SC2016

cache=${WASMDOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wasmdock}/engine

PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin # where Go's own archive unpacks; what a bare sudo leaves out

say() { echo "engine: $*" >&2; }
fail() { say "$1"; exit "${2:-1}"; }
usage() { fail "$1; usage: scripts/engine start|stop|status|env|root|destroy [--suite trixie|sid|newest]" 2; }

# The recipe's hash is in the folder's name: a changed recipe is a new engine, never a half-changed one.
addition() { [[ $suite != newest ]] || echo "$here/newest.sh"; } # one word or none, so it goes unquoted
folder() { echo "$cache/$suite-$(cat "$here/base.sh" "$here/root.sh" $(addition) | sha256sum | head -c 12)"; }
base() { echo "$cache/base-$1-$(sha256sum "$here/base.sh" | head -c 12).tar"; }

# The name of an engine's cgroups: two caches may hold an engine of one recipe.
group() { echo "wasmdock-$suite-$(sha256sum <<< "$1" | head -c 8)"; }

# Runs a command in the engine $1: with the engine's own docker client, so the host needs none.
inside() {
  local pid namespace
  read -r pid namespace < "$1/pid"
  nsenter --target "$pid" --mount --pid --root --wd=/ -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin "${@:2}"
}

# An engine is its first process; the PID namespace's number tells it from a later process with the same pid.
alive() {
  local pid namespace
  [[ -r $1/pid ]] && read -r pid namespace < "$1/pid" && [[ $(readlink "/proc/$pid/ns/pid") == "$namespace" ]]
}
answers() { alive "$1" && inside "$1" timeout -k 5 10 docker version >/dev/null 2>&1; }

need_host() {
  ((EUID == 0)) || fail "an engine needs namespaces and mounts: run this as root, or use a Docker engine you have"
  [[ -r /etc/debian_version ]] || fail "this host is not Debian: install Docker as your distribution says"
  local tool
  for tool in apt-get dpkg-deb flock nsenter tar unshare wget; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install apt dpkg util-linux tar wget"
  done
  [[ -c /dev/net/tun ]] || fail "/dev/net/tun is missing, so the engine would have no network: modprobe tun"
}

locked() { # one at a time per suite; the engine itself must not inherit the lock
  mkdir -p "$cache"
  exec 9> "$cache/$suite.lock"
  flock --timeout 1800 9 || fail "another start or stop of $suite has taken half an hour: see $cache/$suite.lock"
}

engine_start() {
  need_host
  locked
  local at; at=$(folder)
  if ! answers "$at"; then
    stop_one "$at"
    [[ -d $at/root ]] || make_root "$at"
    launch "$at"
  fi
  have_image "$at"
  echo "DOCKER_HOST=unix://$at/root/run/docker.sock"
}

# A step that takes long: its output goes to a log, its failure is one line.
build() {
  local what=$1 log=$cache/build-$suite.log
  say "$what"
  "${@:2}" < /dev/null > "$log" 2>&1 ||
    fail "$what: $(grep -aE '^(E:|W:|go:)|[Ee]rror|cannot|No space' "$log" | tail -1 | head -c 400) (all of it: $log)"
}

make_base() {
  [[ -e $(base "$1") ]] || build "fetching Debian $1 with debootstrap" "$here/base.sh" "$1" "$(base "$1")"
}
make_root() {
  local release=${suite/newest/sid} free # trixie's runc is too old for the newest containerd
  free=$(df --output=avail -BM "$cache" | tail -1 | tr -dc 0-9)
  [[ $suite != newest ]] || command -v go >/dev/null || fail "building newest needs Go: apt-get install golang-go"
  ((free > 4000)) || fail "building $suite needs 4 GB in $cache, which has $free MB: free some, or set WASMDOCK_CACHE"
  make_base "$release"
  build "installing Docker from Debian $release" "$here/root.sh" "$(base "$release")" "$1" $(addition)
}

launch() {
  local at=$1 log=$1/engine.log
  ((${#at} < 90)) || fail "$at is too long for a socket's path (108 bytes): set WASMDOCK_CACHE to a shorter one"
  cp "$here/run.sh" "$at/root/usr/local/sbin/wasmdock-engine"
  say "starting $suite"
  # slave: the host's later mounts come in, none of the engine's go out
  setsid unshare --mount --propagation slave --pid --fork --kill-child "$here/enter.sh" "$at" "$(group "$at")" \
    9>&- < /dev/null > "$log" 2>&1 &
  local starter=$! tries
  for ((tries = 0; tries < 120; tries++)); do
    if [[ -e $at/root/run/wasmdock-address ]] && answers "$at"; then return; fi
    kill -0 "$starter" 2>/dev/null || break
    sleep 0.5
  done
  stop_one "$at"
  local cause; cause=$(grep -aiE 'error|fatal|fail|not found' "$log" | tail -1 | head -c 400)
  fail "starting $suite: it does not answer: $cause (all of it: $log)"
}

# The ordinary way first; the look at the registry keeps that from costing a minute where there is none to reach.
have_image() {
  local image=debian:trixie-slim
  if inside "$1" timeout -k 5 20 docker image inspect $image >/dev/null 2>&1; then return; fi
  if timeout 3 bash -c ': < /dev/tcp/registry-1.docker.io/443' 2>/dev/null &&
    inside "$1" timeout -k 5 120 docker pull --quiet $image >/dev/null 2>&1; then return; fi
  say "importing $image from the Debian mirror's packages"
  make_base trixie
  local platform; platform=linux/$(dpkg --print-architecture)
  inside "$1" timeout -k 5 120 docker import --platform "$platform" --change 'CMD ["bash"]' - $image \
    < "$(base trixie)" >/dev/null ||
    fail "importing $image into $suite did not work: see $1/engine.log"
}

stop_one() {
  local at=$1 pid namespace left link=none
  [[ ! -r $at/root/run/wasmdock-link ]] || link=$(< "$at/root/run/wasmdock-link")
  if alive "$at"; then
    read -r pid namespace < "$at/pid"
    kill -TERM "$pid"
    gone 30 "$at" || { kill -KILL "$pid"; gone 30 "$at"; } || fail "stopping $suite: process $pid survives SIGKILL"
  fi
  for ((left = 50; left > 0; left--)); do # the kernel takes the network away a moment after the last process
    [[ -e /sys/class/net/$link ]] || break
    sleep 0.2
  done
  rm -rf "$at/pid" "$at"/root/run/{docker.sock,wasmdock-address,wasmdock-link}
  for left in /sys/fs/cgroup/{,*/}"$(group "$at")"; do
    [[ ! -d $left ]] || find "$left" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}
gone() { # gone SECONDS FOLDER
  local left
  for ((left = $1 * 5; left > 0; left--)); do alive "$2" || return 0; sleep 0.2; done
  return 1
}

each() { local at; for at in "$cache/$suite"-*/; do [[ ! -d $at ]] || "$1" "${at%/}"; done; }

engine_stop() { need_host; locked; each stop_one; }
engine_destroy() { need_host; locked; each stop_one; each delete_one; }
delete_one() { say "deleting $1"; rm -rf --one-file-system "$1"; }

engine_status() {
  local at version
  at=$(folder)
  if answers "$at"; then
    version=$(inside "$at" timeout -k 5 10 docker version --format '{{.Server.Version}}')
    echo "$suite runs: Docker $version, DOCKER_HOST=unix://$at/root/run/docker.sock"
  else
    echo "$suite does not run: scripts/engine start --suite $suite"
    exit 3
  fi
}
engine_env() {
  local at; at=$(folder)
  alive "$at" || fail "$suite does not run: scripts/engine start --suite $suite" 3
  printf 'export DOCKER_HOST=%q\n' "unix://$at/root/run/docker.sock"
  printf 'export PATH=%q:$PATH\n' "$here/bin"
  printf 'export WASMDOCK_ENGINE_CLIENT=%q\n' "$at"
  printf 'export WASMDOCK_ENGINE_ADDRESS=%q\n' "$(< "$at/root/run/wasmdock-address")"
}
engine_root() { echo "$(folder)/root"; }
