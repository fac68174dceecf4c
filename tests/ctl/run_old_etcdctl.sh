#!/bin/bash
# The etcdctl of Debian 12 (3.4) against our server, by host and port and over a unix socket: its
# authorities are lists of endpoints and paths, which no URL parser takes.
#
# usage: run_old_etcdctl.sh <keelson>
# KEELSON_OLD_ETCDCTL   the client (default: what get-etcd puts in place for Debian 12)
# Exit status 77 (skipped) if there is none.
set -u
keelson=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$("$root/../shared/bin/get-etcd" bookworm 2>/dev/null | tail -1)
etcdctl=${KEELSON_OLD_ETCDCTL:-${folder:+$folder/etcdctl}}
if [ ! -x "$etcdctl" ]; then
  echo "skipped: no etcdctl of Debian 12"
  exit 77
fi
work=$(mktemp -d)
pid=
cleanup() {
  [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
unset "${!ETCDCTL_@}"
export ETCDCTL_API=3

socket="unix://$work/client.sock"
for _ in 1 2 3 4 5; do
  host="127.0.0.1:$((20000 + (RANDOM * 2) % 12000))"
  "$keelson" --data-dir "$work/data" --listen-client-urls "http://$host,$socket" \
    --advertise-client-urls "http://$host" > "$work/log" 2>&1 &
  pid=$!
  for _ in $(seq 200); do
    kill -0 "$pid" 2>/dev/null || break
    "$etcdctl" --endpoints "$host" --command-timeout 2s get x >/dev/null 2>&1 && break 2
    read -r -t 0.1 <> <(:) || true
  done
  rm -rf "$work/data"
done

failures=0
expect() {
  local endpoint=$1 wanted=$2
  shift 2
  local answer
  if ! answer=$(timeout 20 "$etcdctl" --endpoints "$endpoint" "$@" 2>&1) ||
    ! grep -q -- "$wanted" <<< "$answer"; then
    echo "etcdctl --endpoints $endpoint $*: $answer"
    failures=$((failures + 1))
  fi
}
for endpoint in "$host" "$socket"; do
  expect "$endpoint" OK put a b
  expect "$endpoint" b get a
  expect "$endpoint" "is healthy" endpoint health
  expect "$endpoint" 3.7.1 endpoint status
  expect "$endpoint" "$endpoint" endpoint hashkv
  expect "$endpoint" Finished defrag
  expect "$endpoint" started member list
  expect "$endpoint" granted lease grant 100
  expect "$endpoint" transferred move-leader 8e9e05c52164694d
done
[ "$failures" -eq 0 ] || tail -5 "$work/log"
exit "$((failures > 0))"
