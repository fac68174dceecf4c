#!/bin/bash
# The etcdctl of Debian 12 (3.4) against our server, by host and port and over a unix socket: its
# authorities are lists of endpoints and paths, which no URL parser takes; and under TLS, with users.
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
# The dialling includes the login.
export ETCDCTL_API=3 ETCDCTL_DIAL_TIMEOUT=15s

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" \
  -out "$work/cert.pem" -days 2 -subj /CN=server -addext subjectAltName=IP:127.0.0.1 2>/dev/null ||
  { echo "skipped: no openssl"; exit 77; }

socket="unix://$work/client.sock"
for _ in 1 2 3 4 5; do
  host="127.0.0.1:$((20000 + (RANDOM * 2) % 12000))"
  "$keelson" --data-dir "$work/data" --listen-client-urls "http://$host,$socket,https://127.0.0.1:0" \
    --advertise-client-urls "http://$host" --bcrypt-cost 4 \
    --listen-peer-urls http://127.0.0.1:0 \
    --cert-file "$work/cert.pem" --key-file "$work/key.pem" > "$work/log" 2>&1 &
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

# Each call under TLS; what it answers is to have `wanted` in it, whether it succeeds or not.
secure="https://127.0.0.1:$(grep 'client traffic securely' "$work/log" | grep -o '127.0.0.1:[0-9]*' | head -1 | cut -d: -f2)"
hears() {
  local wanted=$1
  shift
  local answer
  answer=$(timeout 20 "$etcdctl" --cacert "$work/cert.pem" --endpoints "$secure" --command-timeout 15s "$@" 2>&1)
  grep -q -- "$wanted" <<< "$answer" && return
  echo "etcdctl --endpoints $secure $*: not $wanted but: $answer"
  failures=$((failures + 1))
}
hears OK put a b
hears "User root created" user add root:toor
hears "User ann created" user add ann:secret
hears "Role anns created" role add anns
hears "Role anns updated" role grant-permission anns readwrite ann/ ann0
hears "Role root is granted to user root" user grant-role root root
hears "Role anns is granted to user ann" user grant-role ann anns
hears "Authentication Enabled" auth enable
hears "user name is empty" get a
hears "authentication failed" --user ann:wrong get ann/a
hears OK --user ann:secret put ann/a 1
hears 1 --user ann:secret get ann/a
hears "permission denied" --user ann:secret get a
hears "permission denied" --user ann:secret --write-out json get ann/ --from-key
hears "permission denied" --user ann:secret user list
hears b --user root:toor get a
hears '"revision"' --user root:toor --write-out json endpoint status
hears "granted" --user ann:secret lease grant 100
hears held --user ann:secret lock ann/lock -- echo held
hears SUCCESS --user ann:secret txn <<< $'value("ann/a") = "1"\n\nput ann/a 2\n\n\n'
hears "Authentication Disabled" --user root:toor auth disable
[ "$failures" -eq 0 ] || tail -5 "$work/log"
exit "$((failures > 0))"
