#!/bin/bash
# The same command lines of `gateway` to etcd and to keelson: exit codes, what is said of what is wrong,
# the flags that there are, the log lines that programs wait for. Help is in words of our own.
#
# usage: run_gateway_texts.sh <keelson>
# Exit status 77 (skipped) if there is no etcd.
set -u
keelson=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$("$root/../shared/bin/get-etcd" 2>/dev/null | tail -1)
etcd=${folder:+$folder/etcd}
etcd=${etcd:-$(command -v etcd)}
if [ ! -x "$etcd" ]; then
  echo "skipped: no etcd"
  exit 77
fi
work=$(mktemp -d)
pid=
cleanup() {
  [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT

# Of a help the names, types and defaults of flags, and the commands; of the rest all but the log, and
# where the name server is, which Go names. etcd says a mistake twice.
mask() {
  sed -E -e '/^\{/d' -e 's/^etcd |keelson |etcd /PROGRAM /g; s/\betcd\b/PROGRAM/g; s/\bkeelson\b/PROGRAM/g' \
    -e 's/ on [0-9.]+:53//g' -e 's/^( +(-h, )?--[a-z-]+( [a-z]+)?)   +.*(\(default .*)$/\1 \4/; t' \
    -e 's/^( +(-h, )?--[a-z-]+( [a-z]+)?)   +.*/\1/; t' -e 's/^(  [a-z]+)  +.*/\1/' |
    sed -E -e 's/ +$//' | sed -E '1{/command$|gateway$|ends it$|ports$/d}' | awk 'NF'
}
run() {  # run <program> <arguments…>
  local program=$1
  shift
  "$program" "$@" > "$work/out" 2> "$work/err" < /dev/null
  echo "exit $?"
  mask < "$work/out"
  mask < "$work/err" | awk '/^Error: /{said = substr($0, 8)} $0 != said'
}

failures=0
count=0
differ() {
  failures=$((failures + 1))
  printf 'differs: %s\n%s\n' "$1" "$2"
}
while IFS= read -r line; do
  [ -z "$line" ] && continue
  eval "arguments=($line)"
  theirs=$(run "$etcd" "${arguments[@]}")
  ours=$(run "$keelson" "${arguments[@]}")
  count=$((count + 1))
  [ "$theirs" = "$ours" ] || differ "$line" "$(diff <(echo "$theirs") <(echo "$ours"))"
done << 'LINES'
gateway
gateway --help
gateway start --help
gateway start -h
gateway help
gateway help start
gateway nonsense
gateway sta
gateway start --nonsense
gateway start -x
gateway --nonsense start
gateway start --retry-delay=5
gateway start --retry-delay=5x
gateway start --retry-delay
gateway start --insecure-discovery=maybe
gateway --insecure-discovery start
gateway start --endpoints=bad --listen-addr 127.0.0.1:0
gateway start --endpoints=127.0.0.1:1,bad --listen-addr 127.0.0.1:0
gateway start --endpoints=::1:1 --listen-addr 127.0.0.1:0
gateway start --endpoints= --listen-addr 127.0.0.1:0
gateway start --listen-addr nonsense
gateway start --listen-addr :0
gateway start --listen-addr nowhere.invalid:3
gateway start --endpoints=nowhere.invalid:3
gateway start --endpoints=127.0.0.1:23790
gateway start --endpoints=http://localhost:23790 --listen-addr 127.0.0.1:23790
gateway start --listen-addr 192.0.2.1:3333
gateway start --discovery-srv=nowhere.invalid
gateway start --discovery-srv=nowhere.invalid --discovery-srv-name=blue
LINES

# Starts it, waits for what says so, and ends it by a signal.
serve() {  # serve <program> <arguments…>
  "$@" > "$work/out" 2> "$work/log" < /dev/null &
  pid=$!
  for _ in $(seq 300); do
    grep -q '"msg":"ready to proxy client requests"' "$work/log" && break
    kill -0 "$pid" 2> /dev/null || break
    read -r -t 0.1 <> <(:) || true
  done
  kill -TERM "$pid"
  wait "$pid" 2> /dev/null
  echo "ended with $?"
  pid=
  grep -o '"msg":"ready to proxy client requests".*' "$work/log"
  grep -o '"msg":"Running: ","args":.*' "$work/log" | sed -E 's|\["[^"]*"|["PROGRAM"|'
}
while IFS= read -r line; do
  eval "arguments=($line)"
  theirs=$(serve "$etcd" "${arguments[@]}")
  ours=$(serve "$keelson" "${arguments[@]}")
  count=$((count + 1))
  [ "$theirs" = "$ours" ] || differ "$line" "$(diff <(echo "$theirs") <(echo "$ours"))"
done << 'LINES'
gateway start --listen-addr 127.0.0.1:0
gateway --endpoints=http://127.0.0.1:1,https://127.0.0.1:2/path --listen-addr 127.0.0.1:0 start
gateway start more words --endpoints 127.0.0.1:1 --endpoints=localhost:2,127.0.0.1:3 --listen-addr localhost:0
gateway start --retry-delay 0 --listen-addr=127.0.0.1:0 --insecure-discovery
LINES
echo "$count command lines, $failures differ"
[ "$failures" -eq 0 ]
