#!/bin/bash
# An operator's afternoon: three members that trust only each other (TLS with certificates on both sides,
# for clients and for peers), changed with keelctl: a learner added with what `member add` prints, promoted,
# given another peer URL, removed. Then those who must not get in: a peer of another name, one whose
# certificate is for another address, one of another authority, and clients of all sorts. In the end members with
# certificates that they made themselves (--auto-tls, --peer-auto-tls).
#
# usage: run_members.sh <keelson> <keelctl>
# Exit status 77 (skipped) without openssl.
set -u
keelson=$1 keelctl=$2
command -v openssl > /dev/null || { echo "skipped: no openssl"; exit 77; }
unset "${!ETCDCTL_@}" "${!ETCD_@}"
work=$(mktemp -d)
declare -A pids
cleanup() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null; wait "$pid" 2> /dev/null; done
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1
failures=0

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
# expect <what> <pattern> <text>
expect() { [[ $3 =~ $2 ]] || fail "$1: not /$2/ but: $3"; }
# eventually <what> <command>…: at most half a minute
eventually() {
  local what=$1 until=$((SECONDS + 30))
  shift
  until "$@" > last 2>&1; do
    [ $SECONDS -ge $until ] && { fail "$what: $(tail -c 400 last)"; return 1; }
    read -r -t 0.1 <> <(:) || true
  done
}

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
    -out "$1.pem" -days 2 -subj "/CN=$1" 2> /dev/null
}
# certificate <file> <authority> <name> <alternative names>
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" \
    -subj "/CN=$3" 2> /dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$4" > ext
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" \
    -days 2 -extfile ext 2> /dev/null
}
here=IP:127.0.0.1,DNS:localhost
authority ca
authority other
certificate server ca server "$here"
certificate root ca root "$here"
certificate stranger other root "$here"
certificate peer ca peer "$here"
certificate mallory ca mallory "$here"
certificate elsewhere ca peer IP:10.9.9.9
certificate foreign other peer "$here"

base=$((20000 + RANDOM % 11000))
client_url() { echo "https://127.0.0.1:$((base + 2 * $1))"; }
peer_url() { echo "https://127.0.0.1:$((base + 2 * $1 + 1))"; }

# launch <number> <peer certificate> <flag>…; the rest of what it needs may be in the environment
launch() {
  local n=$1 cert=$2
  shift 2
  "$keelson" --name "m$n" --data-dir "data$n" \
    --listen-client-urls "$(client_url $n)" --advertise-client-urls "$(client_url $n)" \
    --listen-peer-urls "$(peer_url $n)" --initial-advertise-peer-urls "$(peer_url $n)" \
    --cert-file server.pem --key-file server.key --client-cert-auth --trusted-ca-file ca.pem \
    --peer-cert-file "$cert.pem" --peer-key-file "$cert.key" --peer-client-cert-auth \
    --peer-trusted-ca-file ca.pem --peer-cert-allowed-cn peer "$@" > "log$n" 2>&1 &
  pids[$n]=$!
}
# stop <number>
stop() {
  kill -9 "${pids[$1]}" 2> /dev/null
  wait "${pids[$1]}" 2> /dev/null
  unset "pids[$1]"
}
# ctl <number> <argument>…: as root, at a member
ctl() {
  local n=$1
  shift
  "$keelctl" --endpoints "$(client_url "$n")" --cacert ca.pem --cert root.pem --key root.key \
    --command-timeout 5s "$@" 2>&1
}
id_of() { ctl 0 member list | sed -n "s/^\([0-9a-f]*\), [a-z]*, $1, .*/\1/p"; }
# add <number> <flag>…: adds a member, and leaves what it prints for the new one in added$1
add() {
  local n=$1
  shift
  add_once() { ctl 0 member add "m$1" --peer-urls "$(peer_url "$1")" "${@:2}" > "added$1"; }
  eventually "member add m$n" add_once "$n" "$@"
}
# Starts m<number> as `member add` says.
launch_as_told() {
  local n=$1 cert=$2
  grep '^ETCD_' "added$n" > environment
  expect "what member add prints" 'ETCD_INITIAL_CLUSTER_STATE="existing"' "$(cat environment)"
  set -a
  . ./environment
  set +a
  launch "$n" "$cert"
  unset "${!ETCD_@}"
}

founders="m0=$(peer_url 0),m1=$(peer_url 1),m2=$(peer_url 2)"
for n in 0 1 2; do launch $n peer --initial-cluster "$founders"; done
for n in 0 1 2; do eventually "m$n serves" ctl $n get x || { tail -3 "log$n"; exit 1; }; done
expect "put" OK "$(ctl 1 put who me)"
for n in 0 1 2; do expect "get at m$n" me "$(ctl $n get who)"; done

# Clients that are nobody.
nobody() { "$keelctl" --endpoints "$(client_url 0)" --command-timeout 2s "$@" get who 2>&1; }
expect "without a certificate" Error "$(nobody --cacert ca.pem)"
expect "of another authority" Error "$(nobody --cacert ca.pem --cert stranger.pem --key stranger.key)"
expect "who trusts another one" Error "$(nobody --cacert other.pem --cert root.pem --key root.key)"

# A learner comes, becomes a voter, moves, goes.
add 3 --learner
expect "member add" 'Member +[0-9a-f]+ added as learner to cluster +[0-9a-f]+' "$(cat added3)"
launch_as_told 3 peer
# A learner refuses; whoever names a voter as well does not hear of it.
either() { "$keelctl" --endpoints "$(client_url 3),$(client_url 1)" --cacert ca.pem --cert root.pem --key root.key --command-timeout 5s "$@" 2>&1; }
for _ in 1 2 3 4 5 6 7 8; do expect "put beside a learner" '^OK$' "$(either put who me)"; done
promote() { ctl 1 member promote "$(id_of m3)"; }
eventually "member promote" promote
eventually "m3 serves" ctl 3 get who
expect "it has it all" me "$(ctl 3 get who)"
moved="https://localhost:$((base + 7))"
expect "member update" 'Member +[0-9a-f]+ updated' \
  "$(ctl 2 member update "$(id_of m3)" --peer-urls "$moved")"
expect "member list" "m3, $moved" "$(ctl 1 member list)"
expect "put" OK "$(ctl 0 put who you)"
eventually "it still hears of everything" ctl 3 get who
expect "get at m3" you "$(ctl 3 get who)"
expect "member list at all" 'started, m3' "$(ctl 3 member list)"
expect "member remove" 'Member +[0-9a-f]+ removed' "$(ctl 1 member remove "$(id_of m3)")"
gone() { ! kill -0 "${pids[3]}" 2> /dev/null; }
eventually "who is removed ends" gone
wait "${pids[3]}"
expect "its exit status" '^0$' "$?"
unset "pids[3]"

# Who must not get in does not, and the others go on.
# refused <number> <certificate> <what the members say>
refused() {
  add "$1" --learner
  launch_as_told "$1" "$2"
  eventually "$2 is turned away" grep -q "$3" log0 log1 log2
  "$keelctl" --endpoints "$(client_url "$1")" --cacert ca.pem --cert root.pem --key root.key \
    --command-timeout 500ms get who --consistency s > served 2>&1 && fail "$2 serves"
  stop "$1"
  expect "put" OK "$(ctl 0 put who "without $2")"
  expect "remove $2" removed "$(ctl 0 member remove "$(awk '/^Member/ { print $2; exit }' "added$1")")"
}
refused 4 mallory 'on peer endpoint.*client certificate authentication failed'
refused 5 foreign 'on peer endpoint.*failed to verify certificate'
refused 6 elsewhere '10.9.9.9'
for n in 0 1 2; do expect "get at m$n" 'without elsewhere' "$(ctl $n get who)"; done

# Members that make their own certificates, which nobody vouches for.
for n in 0 1 2; do stop $n; done
base=$((base + 20))
for n in 0 1 2; do
  "$keelson" --name "m$n" --data-dir "own$n" --listen-client-urls "$(client_url $n)" --advertise-client-urls "$(client_url $n)" \
    --listen-peer-urls "$(peer_url $n)" --initial-advertise-peer-urls "$(peer_url $n)" --auto-tls --peer-auto-tls \
    --initial-cluster "m0=$(peer_url 0),m1=$(peer_url 1),m2=$(peer_url 2)" > "log$n" 2>&1 &
  pids[$n]=$!
done
ctl() {
  local n=$1
  shift
  "$keelctl" --endpoints "$(client_url "$n")" --insecure-skip-tls-verify --insecure-transport=false --command-timeout 5s "$@" 2>&1
}
for n in 0 1 2; do eventually "m$n serves under its own certificate" ctl $n put x y || tail -3 "log$n"; done
add 3
grep '^ETCD_' added3 > environment
(set -a && . ./environment && exec "$keelson" --data-dir own3 --listen-client-urls "$(client_url 3)" \
  --advertise-client-urls "$(client_url 3)" --listen-peer-urls "$(peer_url 3)" --auto-tls --peer-auto-tls) > log3 2>&1 &
pids[3]=$!
eventually "one joins under its own certificate" ctl 3 get x || tail -3 log3

[ $failures -eq 0 ] && echo ok
exit $((failures > 0))
