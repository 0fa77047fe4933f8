#!/bin/sh
# Start a Docker daemon for a machine that has none running, such as a hosted job or a bare container.
#
#   scripts/start-dockerd.sh [DIR]      DIR holds its data, log, socket and pid; default: .dockerd
#
# Containers of this project have no network, so the daemon needs neither bridge nor firewall rules.
# The last line of standard output is the assignment that points a client at the daemon:
#
#   eval "$(scripts/start-dockerd.sh | tail -n 1)"
#
# Where a daemon answers already, at DOCKER_HOST or the usual socket, nothing is started.
set -eu

say() { printf '%s\n' "$*" >&2; }
fail() { say "start-dockerd: $1"; [ -z "${2:-}" ] || say "  $2"; exit 1; }

answers() { # SOCKET
    python3 - "$1" <<'PY'
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(2)
    try:
        s.connect(sys.argv[1])
        s.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        sys.exit(0 if b" 200 " in s.recv(4096) else 1)
    except OSError:
        sys.exit(1)
PY
}

case "${DOCKER_HOST:-unix:///var/run/docker.sock}" in
unix://*)
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    if answers "${socket#unix://}"; then
        say "a daemon answers already at $socket"
        echo "export DOCKER_HOST=$socket"
        exit 0
    fi
    ;;
*)
    say "DOCKER_HOST names a daemon elsewhere, $DOCKER_HOST: nothing to start"
    echo "export DOCKER_HOST=$DOCKER_HOST"
    exit 0
    ;;
esac

[ "$(id -u)" = 0 ] || fail "only root can start a Docker daemon" \
    "run it as root, or use --engine local"

PATH=$PATH:/usr/sbin:/sbin
export PATH
if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || fail "dockerd is missing and there is no apt-get" \
        "install a Docker engine by this machine's own means"
    say "installing docker.io and iptables"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    { apt-get update -q && apt-get install -y -q --no-install-recommends docker.io iptables; } \
        >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "apt-get could not install docker.io"; }
    rm -f "$log"
fi

mkdir -p "${1:-.dockerd}"
dir=$(cd "${1:-.dockerd}" && pwd)
socket=$dir/docker.sock
[ "${#socket}" -le 107 ] || fail "the path of the socket is too long for the kernel: $socket" \
    "name a folder with a shorter path"

if ! answers "$socket"; then
    say "starting dockerd in $dir"
    setsid nohup dockerd --iptables=false --ip6tables=false --bridge=none \
        --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" \
        --host "unix://$socket" >"$dir/dockerd.log" 2>&1 </dev/null &
    pid=$!
    tries=0
    until answers "$socket"; do
        tries=$((tries + 1))
        if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -gt 120 ]; then
            tail -n 20 "$dir/dockerd.log" >&2
            fail "dockerd did not start" "its log is $dir/dockerd.log"
        fi
        sleep 0.5
    done
fi
say "the daemon answers; stop it with: kill \$(cat $dir/dockerd.pid)"
echo "export DOCKER_HOST=unix://$socket"
