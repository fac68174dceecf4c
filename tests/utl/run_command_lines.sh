#!/bin/bash
# Runs each command line with the real etcdutl and with keelutl on the same files, and compares
# standard output, exit code and the last "Error:" line.
#
# usage: run_command_lines.sh <keelutl>
# Exit status 77 (skipped) if there is no etcd.
#
# Masked: the programs' names; what the etcd at hand (3.5) counts and prints otherwise than 3.7: all
# records for keys, no version of the storage, no --timeout.
set -u
keelutl=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$("$root/../shared/bin/get-etcd" 2>/dev/null | tail -1)
folder=${KEELSON_ETCD:-$folder}
etcd=${folder:+$folder/etcd}
etcdutl=${folder:+$folder/etcdutl}
etcdctl=${folder:+$folder/etcdctl}
if [ ! -x "$etcd" ] || [ ! -x "$etcdutl" ] || [ ! -x "$etcdctl" ]; then
  echo "skipped: no etcd, etcdctl and etcdutl"
  exit 77
fi
work=$(mktemp -d)
pid=
cleanup() {
  if [ -n "$pid" ]; then kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; fi
  rm -rf "$work"
}
trap cleanup EXIT
unset "${!ETCDCTL_@}"
export ETCDCTL_API=3

# A snapshot to work on.
for try in 1 2 3 4 5; do
  port=$((20000 + (RANDOM * 2) % 12000))
  "$etcd" --data-dir "$work/data-$try" --listen-client-urls "http://127.0.0.1:$port" \
    --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls "http://127.0.0.1:$((port + 1))" \
    --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
    --initial-cluster "default=http://127.0.0.1:$((port + 1))" > "$work/etcd.log" 2>&1 &
  pid=$!
  ctl() { "$etcdctl" --endpoints "127.0.0.1:$port" "$@" > /dev/null 2>&1; }
  ready=
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    if ctl --command-timeout 2s get x; then ready=1 && break; fi
    read -r -t 0.1 <> <(:) || true
  done
  [ -n "$ready" ] && break
done
[ -n "$ready" ] || { echo "etcd does not start"; tail -5 "$work/etcd.log"; exit 1; }
for i in 1 2 3 4 5 6 7 8; do ctl put "key$((i % 5))" "value$i"; done
ctl del key1
ctl compaction 4
ctl snapshot save "$work/snapshot"
kill -9 "$pid"; wait "$pid" 2>/dev/null; pid=
head -c 100 "$work/snapshot" > "$work/short"
cp "$work/snapshot" "$work/wrong-sum" && printf x >> "$work/wrong-sum"
head -c -1 "$work/wrong-sum" | tail -c +1 > "$work/changed"
printf 'y' | dd of="$work/changed" bs=1 seek=9000 conv=notrunc 2> /dev/null
head -c -32 "$work/snapshot" > "$work/no-sum"
mkdir "$work/full" "$work/empty" && touch "$work/full/file"

mask() {
  sed -E -e 's/etcdutl|keelutl/PROGRAM/g' \
    -e 's/("totalKey":)[0-9]+/\1N/; s/,"version":"[^"]*"//' \
    -e 's/^("Keys" :).*/\1 N/; /^"Version" :/d' \
    -e '/^ *--timeout duration/d' \
    -e 's/^([0-9a-f]+, [0-9]+), [0-9]+, ([^,]*)(, .*)?$/\1, N, \2/'
}
run() {  # run <program> <name> <arguments…>
  local program=$1 name=$2
  shift 2
  (cd "$work/$name" && "$program" "$@") > "$work/out" 2> "$work/err" < /dev/null
  echo "exit $?"
  mask < "$work/out"
  grep '^Error:' "$work/err" | tail -1 | mask
}

failures=0
count=0
while IFS= read -r line; do
  [ -z "$line" ] && continue
  rm -rf "$work/theirs" "$work/ours" && mkdir "$work/theirs" "$work/ours"
  eval "arguments=($line)"
  theirs=$(run "$etcdutl" theirs "${arguments[@]}")
  ours=$(run "$keelutl" ours "${arguments[@]}")
  count=$((count + 1))
  [ "$theirs" = "$ours" ] && continue
  failures=$((failures + 1))
  printf 'differs: %s\n%s\n' "$line" "$(diff <(echo "$theirs") <(echo "$ours"))"
done << 'LINES'
snapshot status $work/snapshot
snapshot status $work/snapshot -w simple
snapshot status $work/snapshot -w json
snapshot status $work/snapshot -w fields
snapshot status $work/snapshot -w protobuf
snapshot status $work/snapshot -w yaml
snapshot status $work/snapshot --write-out=json
snapshot stat $work/snapshot -wjson
snap status $work/snapshot
snapshot status $work/no-sum -w json
snapshot status $work/short
snapshot status $work/nowhere
snapshot status
snapshot status $work/snapshot $work/snapshot
snapshot status --nonsense
snapshot status -x
snapshot status --write-out
nonsense
--nonsense
snapshot restore $work/snapshot --data-dir d --name other
snapshot restore $work/snapshot --data-dir d --initial-cluster default=nonsense
snapshot restore $work/snapshot --data-dir d --initial-advertise-peer-urls http://localhost:1
snapshot restore $work/snapshot --data-dir d --initial-advertise-peer-urls nonsense
snapshot restore $work/snapshot --data-dir $work/full
snapshot restore $work/snapshot --data-dir d --wal-dir $work/empty
snapshot restore $work/no-sum --data-dir d
snapshot restore $work/changed --data-dir d
snapshot restore $work/nowhere --data-dir d
snapshot restore $work/snapshot $work/snapshot --data-dir d
snapshot restore $work/snapshot --data-dir d --skip-hash-check=maybe
snapshot restore $work/snapshot --data-dir d
snapshot restore $work/snapshot --data-dir d --wal-dir w
snapshot restore $work/no-sum --data-dir d --skip-hash-check
snapshot restore $work/snapshot --data-dir d --name a --initial-cluster a=http://127.0.0.1:1,b=http://127.0.0.1:2 --initial-advertise-peer-urls http://127.0.0.1:1 --initial-cluster-token t
snapshot restore $work/snapshot --data-dir d --bump-revision 1000 --mark-compacted
snapshot restore $work/snapshot --data-dir d --bump-revision 1000
snapshot restore $work/snapshot --data-dir d --mark-compacted
snapshot restore $work/snapshot --data-dir d --bump-revision 0 --mark-compacted
snapshot restore $work/snapshot --data-dir d --bump-revision -1 --mark-compacted
snapshot restore $work/snapshot --data-dir d --initial-memory-map-size 1048576
snapshot restore $work/snapshot --data-dir d --initial-memory-map-size lots
defrag
help snapshot status
LINES
echo "$count command lines, $failures differ"
[ "$failures" -eq 0 ]
