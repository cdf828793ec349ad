#!/usr/bin/env bash
# Builds the image and asks its service for a tree, where there is no Docker engine: Debian's
# debootstrap stands in for the base image, buildah builds and runs without namespaces.
#
#     sudo apt-get install debootstrap buildah curl     # and, to try what stands before it: caddy prometheus
#     sudo docker/try.sh [cpu|cuda]
#
# BUILDAH_OPTIONS are more options for `buildah build`, such as a mirror's certificates. What is not
# checked is said at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-cpu}
image=dineuro:$device
http=127.0.0.1:18000
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
container=""
children=()

finish() {
    [ "$?" = 0 ] || tail -n 40 "$work/service.log" 2>/dev/null || true
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    # What runs in the container outlives the command that started it there.
    pkill -f -- "serve --local --http $http" 2>/dev/null || true
    wait
    [ -z "$container" ] || buildah rm "$container" >/dev/null
    rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }
within() { # within SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "gave up: $*" >&2; cat "$work/log" >&2; exit 1; }
        sleep 1
    done
}

if ! buildah inspect --type image localhost/debian:12-slim >/dev/null 2>&1; then
    say "a base by debootstrap"
    debootstrap --variant=minbase bookworm "$work/base" >"$work/log" || { cat "$work/log"; exit 1; }
    base=$(buildah from scratch)
    buildah add -q "$base" "$work/base" /
    buildah commit -q "$base" localhost/debian:12-slim
    buildah rm "$base" >/dev/null
    rm -rf "$work/base"
fi

say "the image"
# shellcheck disable=SC2086
buildah build --format docker --build-arg "DEVICE=$device" --tag "$image" ${BUILDAH_OPTIONS:-} \
    --file docker/Dockerfile . >"$work/log" 2>&1 || { tail -40 "$work/log"; exit 1; }
tail -3 "$work/log"

say "what is in it"
container=$(buildah from "$image")
inside() { buildah run --user dineuro "$container" -- "$@"; }
root=$(buildah mount "$container")
echo "size: $(du -sm --apparent-size "$root" | cut -f1) MB, of which packages: $(du -sm "$root/opt/dineuro" | cut -f1) MB"
buildah umount "$container" >/dev/null
for tool in gcc cc pip make; do
    ! inside sh -c "command -v $tool" >/dev/null 2>&1 || { echo "$tool is in it" >&2; exit 1; }
done
! inside sh -c 'touch /opt/dineuro/x || touch /etc/x' 2>/dev/null || { echo "its own files can be written" >&2; exit 1; }
inside dineuro models --verify

say "the service"
! curl -s "http://$http/livez" >/dev/null || { echo "something listens at $http already" >&2; exit 1; }
inside dineuro serve --local --http "$http" --zmq tcp://127.0.0.1:15599 >"$work/service.log" 2>&1 &
children+=($!)
within 180 curl -fsS "http://$http/readyz"
inside sh -c 'cd /tmp && dineuro demo demo && cat demo/neuron.tif' >"$work/out" 2>"$work/log"
inside cat /tmp/demo/neuron.tif >"$work/neuron.tif"
say "a stack by curl"
curl -fsS --data-binary "@$work/neuron.tif" "http://$http/v1/trace" >"$work/neuron.swc"
echo "nodes: $(grep -vc '^#' "$work/neuron.swc")"
inside dineuro trace /tmp/demo/neuron.tif --server tcp://127.0.0.1:15599 -o - >"$work/zmq.swc"
same_tree() { diff <(grep -v '^#' "$1") <(grep -v '^#' "$work/neuron.swc") >/dev/null; }
same_tree "$work/zmq.swc" && echo "the ZeroMQ door says the same"
[ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: elsewhere' "http://$http/v1/jobs")" = 403 ]

say "the health check"
check=$(buildah inspect --type image --format '{{index .Docker.Config.Healthcheck.Test 3}}' "$image")
inside python3 -c "${check/8000/18000}" && echo healthy

if command -v caddy >/dev/null; then
    say "Caddy before it"
    sed -e 's/admin off/admin off\n\thttp_port 18080\n\thttps_port 18443\n\tskip_install_trust/' docker/caddy/Caddyfile >"$work/Caddyfile"
    XDG_DATA_HOME=$work XDG_CONFIG_HOME=$work DINEURO_UPSTREAM=$http caddy run --config "$work/Caddyfile" --adapter caddyfile >"$work/caddy.log" 2>&1 &
    children+=($!)
    tls=(curl -fsS --cacert "$work/caddy/pki/authorities/local/root.crt")
    within 30 "${tls[@]}" https://localhost:18443/livez
    "${tls[@]}" --data-binary "@$work/neuron.tif" https://localhost:18443/v1/trace >"$work/tls.swc"
    same_tree "$work/tls.swc"
    echo "the same tree through TLS"
fi
if command -v prometheus >/dev/null; then
    say "Prometheus"
    : >"$work/token"
    sed -e "s#/run/secrets/metrics_token#$work/token#; s#server:8000#$http#; s#: 15s#: 1s#" docker/prometheus/prometheus.yml >"$work/prometheus.yml"
    cp docker/prometheus/alerts.yml "$work"
    promtool check config "$work/prometheus.yml" | tail -1
    prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:19090 >"$work/prometheus.log" 2>&1 &
    children+=($!)
    within 30 sh -c "curl -fsS 'http://127.0.0.1:19090/api/v1/query?query=dineuro_jobs_total' | grep -q '\"state\":\"done\"'"
    echo "its figures are gathered"
fi

say "done"
cat <<'TELL'
Not checked: Docker itself (compose's networks, secrets, limits, restarts, log rotation, and the read-only root, though
the service ran as a user who can write nothing but its state and /tmp), Grafana, GPUs, and the base image's own contents.
TELL
