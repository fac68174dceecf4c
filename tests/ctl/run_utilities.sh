#!/bin/bash
# What keelctl does for operators: `check datascale`, and make-mirror between two servers: what is there, then what changes (transactions of many
# keys, deletes, a source that is killed and starts again), renamed; compared at the end. And what it says of an endpoint that nobody is at.
#
# usage: run_utilities.sh <keelson> <keelctl>
set -u
keelson=$1 keelctl=$2
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap cleanup EXIT
unset "${!ETCDCTL_@}"
fail() { echo "FAILED: $*"; tail -5 "$work"/*.log; exit 1; }
pause() { read -r -t 0.1 <> <(:) || true; }

# start NAME PORT: a server on it, or failure if the port is taken.
start() {
  local name=$1 port=$2
  "$keelson" --name "$name" --data-dir "$work/$name" --listen-client-urls "http://127.0.0.1:$port" \
    --advertise-client-urls "http://127.0.0.1:$port" --listen-peer-urls "http://127.0.0.1:$((port + 1))" \
    --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
    --initial-cluster "$name=http://127.0.0.1:$((port + 1))" >"$work/$name.log" 2>&1 &
  server=$!
  pids+=("$server")
  for _ in $(seq 300); do
    kill -0 "$server" 2>/dev/null || return 1
    "$keelctl" --endpoints "127.0.0.1:$port" endpoint health >/dev/null 2>&1 && return 0
    pause
  done
  return 1
}
start_somewhere() {
  for _ in 1 2 3 4 5; do
    port=$((20000 + (RANDOM * 2) % 12000))
    rm -rf "${work:?}/$1"
    start "$1" "$port" && return
  done
  fail "no server"
}

nowhere=127.0.0.1:1
said=$("$keelctl" --endpoints "$nowhere" --command-timeout 500ms get a 2>&1 >/dev/null)
(($? == 1)) || fail "an endpoint that nobody is at: $said"
[[ $said == "no connection to $nowhere: "*refused*$'\n'"Error: context deadline exceeded" ]] || fail "why it cannot connect: $said"

start_somewhere source
source_port=$port source_server=$server
start_somewhere destination
from=(--endpoints "127.0.0.1:$source_port") to=(--endpoints "127.0.0.1:$port")

# put FIRST LAST VALUE: keys of a transaction each hundred.
put() {
  local first=$1 last=$2 at=$1
  while ((at <= last)); do
    { echo
      for ((i = at; i < at + 100 && i <= last; i++)); do echo "put a/$i $3-$i"; done
      echo; echo; } | "$keelctl" "${from[@]}" txn >/dev/null || fail "put"
    at=$((at + 100))
  done
}
listing() { "$keelctl" "${@:2}" get --prefix "$1" | sed "s|^$1|KEY/|"; }
agree() {
  for _ in $(seq 300); do
    listing a/ "${from[@]}" >"$work/from"
    listing b/ "${to[@]}" >"$work/to"
    cmp -s "$work/from" "$work/to" && return
    kill -0 "$mirror" 2>/dev/null || fail "the mirror ended: $(cat "$work/mirror")"
    pause
  done
  fail "$1: $(diff "$work/from" "$work/to" | head -5)"
}

put 1 1500 old
"$keelctl" "${from[@]}" put other stays >/dev/null
"$keelctl" "${from[@]}" make-mirror --prefix a/ --dest-prefix b/ --max-txn-ops 30 "127.0.0.1:$port" \
  >"$work/mirror" 2>&1 &
mirror=$!
pids+=("$mirror")
agree "what was there"
(($(wc -l <"$work/to") == 3000)) || fail "$(wc -l <"$work/to") lines"

put 1400 1700 new
"$keelctl" "${from[@]}" del --prefix a/1 >/dev/null
agree "what changed"

kill -9 "$source_server"
wait "$source_server" 2>/dev/null
start source "$source_port" || fail "the source does not start again"
put 2000 2100 later
agree "after the source was gone"
[ -z "$("$keelctl" "${to[@]}" get other)" ] || fail "a key that is not below the prefix"

said=$("$keelctl" "${from[@]}" make-mirror --no-dest-prefix --dest-prefix x y 2>&1)
[ $? = 128 ] || fail "exit code: $said"

said=$("$keelctl" "${to[@]}" check datascale --load s --auto-compact --auto-defrag 2>&1) || fail "check: $said"
grep -q "^Start data scale check for work load \[10000 key-value pairs, 1024 bytes" <<<"$said" || fail "$said"
grep -q "^PASS: Approximate system memory used : [0-9.-]* MB\.$" <<<"$said" || fail "$said"
grep -q "^Compacted with revision [0-9]*$" <<<"$said" || fail "$said"
[ -z "$("$keelctl" "${to[@]}" get --prefix /etcdctl-check-datascale/)" ] || fail "keys are left"
said=$("$keelctl" "${to[@]}" check perf --prefix b/ 2>&1)
[ $? = 3 ] && grep -q 'prefix "b/" has keys' <<<"$said" || fail "$said"
said=$("$keelctl" "${to[@]}" check perf --load huge 2>&1)
[ $? = 4 ] && grep -q "unknown load option huge" <<<"$said" || fail "$said"
echo "mirror: equal; check: in order"
