#!/bin/bash
# A server under TLS and the clients that people have: the real etcdctl (3.5) where there is one,
# keelctl, curl over HTTP/1.1 and HTTP/2. Certificates are made here.
#
# usage: run_clients.sh <keelson> <keelctl>
# Exit status 77 (skipped) without openssl or curl.
set -u
keelson=$1 keelctl=$2
for tool in openssl curl; do
  command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$("$root/../shared/bin/get-etcd" 2>/dev/null | tail -1)
etcdctl=${folder:+$folder/etcdctl}
etcdctl=${KEELSON_COMPAT_CLIENT:-${etcdctl:-$(command -v etcdctl)}}
clients=("$keelctl")
[ -x "$etcdctl" ] && clients+=("$etcdctl") || echo "without etcdctl: there is none"
unset "${!ETCDCTL_@}" "${!ETCD_@}"

work=$(mktemp -d)
pid=
cleanup() {
  [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1
failures=0
# expect <what> <pattern> <text>
expect() {
  [[ $3 =~ $2 ]] && return
  echo "FAILED: $1: not /$2/ but: $3"
  failures=$((failures + 1))
}

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
    -out "$1.pem" -days 2 -subj "/CN=$1" 2>/dev/null
}
# certificate <name> <authority> <key type>
certificate() {
  openssl req -newkey ${3:-ec -pkeyopt ec_paramgen_curve:P-256} -nodes -keyout "$1.key" \
    -out "$1.csr" -subj "/CN=$1/O=system:masters" 2>/dev/null
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:socket\nextendedKeyUsage=serverAuth,clientAuth\n' > ext
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" \
    -days 2 -extfile ext 2>/dev/null
}
# revoke <authority> <certificate>…: the list in crl.der, moved into place
revoke() {
  local ca=$1 name
  shift
  : > index.txt
  for name; do
    printf 'R\t300101000000Z\t260101000000Z\t%s\tunknown\t/CN=%s\n' \
      "$(openssl x509 -in "$name.pem" -noout -serial | cut -d= -f2)" "$name" >> index.txt
  done
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=2\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\n' > ca.cnf
  openssl ca -config ca.cnf -gencrl -cert "$ca.pem" -keyfile "$ca.key" -out crl.pem 2>/dev/null
  openssl crl -in crl.pem -outform DER -out crl.new && mv crl.new crl.der
}

# start <flag>…: sets $port, of the first address that is served under TLS, and $metrics
start() {
  rm -rf data
  : > log  # the child does it later: until then an earlier server's would be read
  "$keelson" --data-dir data --listen-client-urls "https://127.0.0.1:0,unixs://$work/socket" \
    --advertise-client-urls https://127.0.0.1:1 --listen-metrics-urls https://127.0.0.1:0 \
    --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:1 \
    --initial-cluster default=http://127.0.0.1:1 "$@" \
    > log 2>&1 &
  pid=$!
  for _ in $(seq 300); do
    grep -q 'ready to serve client requests' log && break
    kill -0 "$pid" 2>/dev/null || { echo "the server does not start:"; tail -3 log; exit 1; }
    read -r -t 0.1 <> <(:) || true
  done
  port=$(grep 'served\|serving' log | grep -o '"traffic":"grpc+http","address":"127[^"]*' | head -1 | grep -o '[0-9]*$')
  metrics=$(grep -o '"traffic":"metrics","address":"[^"]*' log | grep -o '[0-9]*$')
}
stop() {
  kill "$pid" && wait "$pid" 2>/dev/null
  pid=
}

authority ca
authority other
certificate server ca rsa:2048
certificate root ca
certificate revoked ca
certificate stranger other
server=(--cert-file server.pem --key-file server.key)
pair() { echo "--cert $1.pem --key $1.key"; }

echo "== client certificates"
revoke ca revoked
start "${server[@]}" --trusted-ca-file ca.pem --client-cert-auth --client-crl-file crl.der
at=https://127.0.0.1:$port
for client in "${clients[@]}"; do
  name=$(basename "$client")
  run() { "$client" --command-timeout "${limit:-10s}" "$@" 2>&1; }
  good="--cacert ca.pem $(pair root)"
  expect "$name put" '^OK$' "$(run $good --endpoints $at put key "$name")"
  expect "$name get" "^key.$name\$" "$(run $good --endpoints $at get key)"
  expect "$name without a scheme" "^key" "$(run $good --endpoints "127.0.0.1:$port" get key)"
  expect "$name on a unix socket" "^key" "$(run $good --endpoints "unixs://$work/socket" get key)"
  expect "$name health" 'is healthy' "$(run $good --endpoints $at endpoint health)"
  expect "$name by host name" "^key" "$(run $good --endpoints "https://localhost:$port" get key)"
  expect "$name unverified" "^key" \
    "$(run --insecure-skip-tls-verify $(pair root) --endpoints $at get key)"
  limit=1s
  late='Error: context deadline exceeded$'
  expect "$name without a certificate" "$late" "$(run --cacert ca.pem --endpoints $at get key)"
  expect "$name revoked" "$late" "$(run --cacert ca.pem $(pair revoked) --endpoints $at get key)"
  expect "$name stranger" "$late" "$(run --cacert ca.pem $(pair stranger) --endpoints $at get key)"
  expect "$name of another authority" "$late" \
    "$(run --cacert other.pem $(pair root) --endpoints $at get key)"
  expect "$name in the clear" "$late" "$(run --endpoints "http://127.0.0.1:$port" get key)"
  limit=10s
  expect "$name half a pair" 'KeyFile and CertFile must both be present' \
    "$(run --cert root.pem --endpoints $at get key)"
  expect "$name no such file" 'Error: open nofile: no such file or directory' \
    "$(run --cacert nofile --endpoints $at get key)"
done
for version in 1.1 2; do
  for where in "$port/health" "$port/version" "$metrics/metrics" "$metrics/livez"; do
    answer=$(curl -s -o body -w '%{http_code} %{http_version}' --cacert ca.pem $(pair root) \
      --http$version "https://localhost:$where")
    expect "curl $version $where" "^200 $version" "$answer"
  done
  curl -s --cacert ca.pem --http$version "https://localhost:$port/health" > /dev/null
  expect "curl $version without a certificate" '^(35|56)$' "$?"
done
grep -q 'rejected connection on client endpoint.*revoked' log ||
  expect 'the log' 'revoked' "$(tail -1 log)"

echo "== certificates that do not name the host"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout unnamed.key -out unnamed.pem -days 2 -subj /CN=unnamed 2>/dev/null
stop
GODEBUG=http2debug=2 start --cert-file unnamed.pem --key-file unnamed.key --listen-client-urls "https://127.0.0.1:0,unixs://localhost:77"
for client in "${clients[@]}"; do
  name=$(basename "$client")
  run() { "$client" --command-timeout 5s --insecure-transport=false --insecure-skip-tls-verify "$@" 2>&1; }
  expect "$name unverified, of no such name" '^OK$' "$(run --endpoints "https://127.0.0.1:$port" put key "$name")"
  expect "$name unverified, by a name" '^OK$' "$(run --endpoints "https://localhost:$port" put key "$name")"
  expect "$name on a socket" '^OK$' "$(run --endpoints unixs:localhost:77 put key "$name")"
  expect "$name asks for the socket" 'localhost:77"$' "$(grep ':authority' log | tail -1)"
done
stop
start "${server[@]}" --trusted-ca-file ca.pem --client-cert-auth --client-crl-file crl.der
at=https://127.0.0.1:$port
good="--cacert ca.pem $(pair root)"
"$keelctl" $good --endpoints $at put key value > /dev/null

echo "== what changes while it runs"
revoke ca revoked root
expect 'a new list' 'deadline exceeded' "$("$keelctl" $good --command-timeout 1s --endpoints $at get key 2>&1)"
revoke ca revoked
expect 'an old list' '^key' "$("$keelctl" $good --endpoints $at get key 2>&1)"
serial() { openssl s_client -connect "127.0.0.1:$port" < /dev/null 2>/dev/null | openssl x509 -noout -serial; }
before=$(serial)
certificate next ca
cp next.key server.key.new && cp next.pem server.pem.new
mv server.key.new server.key && mv server.pem.new server.pem
after=$(serial)
[ -n "$after" ] && [ "$before" != "$after" ] || expect 'a new certificate' "not $before" "$after"
stop

echo "== users by the names in their certificates"
certificate reader ca
start "${server[@]}" --trusted-ca-file ca.pem --client-cert-auth --bcrypt-cost 4
at=https://127.0.0.1:$port
as() { local name=$1; shift; "$keelctl" --cacert ca.pem $(pair "$name") --endpoints $at "$@" 2>&1; }
as root user add root --no-password > /dev/null
as root user add reader --no-password > /dev/null
as root role add r > /dev/null
as root role grant-permission r read key > /dev/null
as root user grant-role reader r > /dev/null
as root put key value > /dev/null
expect 'enabled' '^Authentication Enabled' "$(as root auth enable)"
expect 'an administrator by certificate' 'root' "$(as root user list)"
expect 'a user reads' '^key' "$(as reader get key)"
expect 'and does not write' 'permission denied' "$(as reader put key other)"
expect 'nor administrates' 'permission denied' "$(as reader user list)"
expect 'no password for who has none' 'password was given for no password user' \
  "$(as reader --user reader:x get key)"
certificate nobody ca
expect 'a name that is no user' 'permission denied' "$(as nobody get key)"
# A status request, which asks for a login: what the gateway passes on is nobody's.
call() {
  printf '\0\0\0\0\0' | curl -s -o body --http2 --cacert ca.pem $(pair root) -D - \
    -H 'content-type: application/grpc' -H 'te: trailers' "$@" --data-binary @- \
    "$at/etcdserverpb.Maintenance/Status"
}
expect 'by curl' 'grpc-status: 0' "$(call)"
expect 'through the gateway' 'user name is empty|user%20name' "$(call -H 'grpcgateway-accept: */*')"
stop

echo "== certificates made at start"
start --auto-tls
expect 'auto-tls' '^OK' "$("$keelctl" --insecure-skip-tls-verify --endpoints "https://127.0.0.1:$port" put a b 2>&1)"
expect 'auto-tls by its own certificate' '^a' "$("$keelctl" --cacert data/fixtures/client/cert.pem \
  --endpoints "https://127.0.0.1:$port" get a 2>&1)"
expect 'its key' '^600$' "$(stat -c %a data/fixtures/client/key.pem)"
stop

echo "== refusals"
refused() {
  local pattern=$1
  shift
  rm -rf data
  expect "refused: $*" "$pattern" "$(timeout 20 "$keelson" --data-dir data \
    --listen-client-urls https://127.0.0.1:0 --advertise-client-urls https://127.0.0.1:1 "$@" 2>&1 | tail -1)"
}
refused 'open nofile: no such file or directory' --cert-file nofile --key-file server.key
refused 'private key does not match public key' --cert-file server.pem --key-file root.key
refused 'KeyFile and CertFile must both be present' --cert-file server.pem
refused 'reads DER only' "${server[@]}" --trusted-ca-file ca.pem --client-crl-file crl.pem
refused 'unexpected TLS cipher suite \\"NONE\\"' "${server[@]}" --cipher-suites NONE
refused 'missing an HTTP/2-required' "${server[@]}" --cipher-suites TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384

[ $failures = 0 ] || { echo "$failures failed"; exit 1; }
echo "passed"
