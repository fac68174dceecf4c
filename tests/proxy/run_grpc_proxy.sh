#!/bin/bash
# `grpc-proxy` of etcd and of keelson, each before an etcd of its own: the same command lines through both
# say the same, without a namespace and with one; what clients of one proxy share is shared; pages; what is
# wrong with a command line.
#
# usage: run_grpc_proxy.sh <keelson>
# Exit status 77 (skipped) if there is no etcd.
set -u
keelson=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$("$root/../shared/bin/get-etcd" 2>/dev/null | tail -1)
folder=${KEELSON_ETCD:-$folder}
[ -f "$folder" ] && folder=$(dirname "$folder")
if [ ! -x "$folder/etcd" ] || [ ! -x "$folder/etcdctl" ]; then
  echo "skipped: no etcd"
  exit 77
fi
if [ -z "${KEELSON_INSIDE:-}" ]; then
  unshare --user --map-root-user --net true 2>/dev/null || { echo "skipped: no namespaces"; exit 77; }
  # Ports are nobody else's: the network is this test's, and they are all below those that the system
  # gives to connections by itself. Who is left over ends with the first process.
  KEELSON_INSIDE=1 KEELSON_ETCD=$folder exec unshare --user --map-root-user --net --pid --fork --kill-child "$0" "$@"
fi
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14s", b"lo", 0x41, b""))' || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() {
  failures=$((failures + 1))
  echo "FAILED: $*"
}
export ETCDCTL_API=3
# However slow each try of it is.
wait_for() {  # wait_for <seconds> <command…>
  local until=$((SECONDS + $1))
  shift
  while :; do
    "$@" > /dev/null 2>&1 && return 0
    [ "$SECONDS" -lt "$until" ] || return 1
    read -r -t 0.1 <> <(:) || true
  done
}
# Nothing is waited for longer than this, whatever it waits for itself.
limited() { timeout -k 5 40 "$@"; }
ctl() { limited "$folder/etcdctl" --command-timeout=10s "$@"; }

start_etcd() {  # start_etcd <name> <port>
  "$folder/etcd" --name=m --data-dir="$work/$1" --listen-client-urls="http://127.0.0.1:$2" \
    --advertise-client-urls="http://127.0.0.1:$2" --listen-peer-urls="http://127.0.0.1:$(($2 + 1))" \
    --initial-advertise-peer-urls="http://127.0.0.1:$(($2 + 1))" --initial-cluster="m=http://127.0.0.1:$(($2 + 1))" \
    > "$work/$1.log" 2>&1 &
}
start_proxy() {  # start_proxy <program> <port> <port of etcd> <flags…>
  local program=$1 port=$2 etcd=$3
  shift 3
  "$program" grpc-proxy start --listen-addr="127.0.0.1:$port" --endpoints="127.0.0.1:$etcd" \
    --advertise-client-url="127.0.0.1:$port" "$@" > "$work/proxy.$port.log" 2>&1 &
  local pid=$!
  proxies="${proxies:-} $pid"
  ready_or_gone() { ! kill -0 $pid 2> /dev/null || ctl --endpoints="127.0.0.1:$port" get x; }
  wait_for 40 ready_or_gone && kill -0 $pid 2> /dev/null || fail "no proxy at $port: $(tail -3 "$work/proxy.$port.log")"
}
start_etcd theirs 2379
start_etcd ours 1379
etcd_pid=$!
wait_for 40 ctl get x || { echo "FAILED: no etcd: $(tail -3 "$work/theirs.log")"; exit 1; }
wait_for 40 ctl --endpoints=127.0.0.1:1379 get x
start_proxy "$folder/etcd" 23790 2379
start_proxy "$keelson" 13790 1379
our_proxy=${proxies##* }
start_proxy "$folder/etcd" 23791 2379 --namespace=ns/
start_proxy "$keelson" 13791 1379 --namespace=ns/

# What cannot be the same: ids, addresses, ages, sizes.
mask() {
  sed -E -e 's/"(cluster_id|member_id|raft_term|ID|id|lease)":-?[0-9]+/"\1":N/g' \
    -e 's/"(ClusterID|MemberID|RaftTerm)" : [0-9]+/"\1" : N/' -e 's/[0-9a-f]{16}/ID/g' -e 's/[12]379[0-9]?/PORT/g' -e 's/remaining\([0-9]+s\)/remaining/' -e 's/[0-9]+(\.[0-9]+)? ?(kB|KB|MB|B|ms|µs)\b/SIZE/g' \
    -e '/^\{"level"/d' -e 's/"hash":[0-9]+/"hash":N/'
}
try() {  # try <port> <arguments…>
  local port=$1
  shift
  ctl --endpoints="127.0.0.1:$port" "$@" > "$work/out" 2>&1 < "$work/in"
  echo "exit $?"
  sed "s/$port/PORT/g" "$work/out" | mask
}
count=0
both() {  # both <last digit of the ports> <arguments…>, with the file in
  local digit=$1 theirs ours
  shift
  theirs=$(try "2379$digit" "$@")
  ours=$(try "1379$digit" "$@")
  count=$((count + 1))
  [ "$theirs" = "$ours" ] || fail "differs: $*
$(diff <(echo "$theirs") <(echo "$ours"))"
}
lines() {
  cat << 'LINES'
put a 1
put b 2
put b 3 --prev-kv
get a
get a -w json
get b --rev=2
get "" --prefix --keys-only
get a zzz
get a --consistency=s
put a 4
get a --consistency=s
get a --consistency=s
get "" --from-key --consistency=s
del b --prev-kv
get b --consistency=s
get "" --prefix --count-only --write-out=fields
put ""  x
get ""
del "" --prefix --prev-kv
put c 1
get c --rev=100000
compaction 4
get a --rev=2
get a --rev=2 --consistency=s
lease grant 1000
lease timetolive 123
lease revoke 123
lease list
lease keep-alive 123 --once
role list
user list
auth status
alarm list
defrag
put large --ignore-value
put none --ignore-lease
get c --order=DESCEND --sort-by=MODIFY
LINES
}
: > "$work/in"
for digit in 0 1; do
  while IFS= read -r line; do
    eval "arguments=($line)"
    both $digit "${arguments[@]}"
  done < <(lines)
  printf 'value("c") = "1"\n\nput t 1\nget c\n\nput t 2\n\n' > "$work/in"
  both $digit txn
  both $digit txn --write-out=json
  printf 'value("c") = "2"\n\nput t 1\n\nget t\ndel t\n\n' > "$work/in"
  both $digit txn
  : > "$work/in"
done
both 0 member list
# Proxies that know of each other, and whose serializable reads are in order.
for port in 2 3; do
  start_proxy "$folder/etcd" 2379$port 2379 --resolver-prefix=proxies --resolver-ttl=60 --experimental-serializable-ordering
  start_proxy "$keelson" 1379$port 1379 --resolver-prefix=proxies --resolver-ttl=60 --experimental-serializable-ordering
done
last_proxy=${proxies##* }
registered() { [ "$(ctl --endpoints=127.0.0.1:$1 get proxies --prefix --keys-only | grep -c "proxies/")" = 2 ]; }
for port in 2379 1379; do wait_for 40 registered $port || fail "the proxies' keys at $port"; done
knows() { [ "$(ctl --endpoints=127.0.0.1:$1 member list | wc -l)" = 2 ]; }
for port in 23792 13792; do wait_for 40 knows $port || fail "who $port knows: $(ctl --endpoints=127.0.0.1:$port member list)"; done
both 2 get proxies --prefix
# etcd names them in no order.
for port in 23792 13792; do ctl --endpoints=127.0.0.1:$port member list | mask | sort > "$work/members.$port"; done
cmp -s "$work/members.23792" "$work/members.13792" || fail "members: $(diff "$work/members.23792" "$work/members.13792")"
both 2 get proxies --prefix --consistency=s
kill -TERM $last_proxy
forgotten() { [ "$(ctl --endpoints=127.0.0.1:13792 member list | wc -l)" = 1 ]; }
wait_for 40 forgotten || fail "who has gone is named: $(ctl --endpoints=127.0.0.1:13792 member list)"
both 0 endpoint health
both 0 snapshot save "$work/snapshot"
# What lies behind the namespaces.
for port in 2379 1379; do ctl --endpoints=127.0.0.1:$port get "" --from-key --keys-only | grep -v proxies/ | awk NF > "$work/keys.$port"; done
cmp -s "$work/keys.2379" "$work/keys.1379" || fail "keys: $(diff "$work/keys.2379" "$work/keys.1379")"

# Leases: through one proxy granted, kept and looked at.
for digit in 0 1; do
  for port in 2379$digit 1379$digit; do
    id=$(ctl --endpoints=127.0.0.1:$port lease grant 500 | cut -d' ' -f2)
    {
      ctl --endpoints=127.0.0.1:$port put leased v --lease="$id"
      ctl --endpoints=127.0.0.1:$port lease timetolive "$id" --keys
      ctl --endpoints=127.0.0.1:$port lease keep-alive "$id" --once
      ctl --endpoints=127.0.0.1:$port lease revoke "$id"
      ctl --endpoints=127.0.0.1:$port get leased
    } 2>&1 | sed "s/$id/ID/g" | mask > "$work/leases.$port"
  done
  cmp -s "$work/leases.2379$digit" "$work/leases.1379$digit" ||
    fail "leases: $(diff "$work/leases.2379$digit" "$work/leases.1379$digit")"
done

# Locks and elections.
for port in 23790 13790; do
  ctl --endpoints=127.0.0.1:$port lock mutex echo locked 2>&1 | mask > "$work/lock.$port"
  "$folder/etcdctl" --endpoints=127.0.0.1:$port elect place me > "$work/elect.$port" 2>&1 &
  elected=$!
  wait_for 40 grep -q me "$work/elect.$port" || fail "nobody is elected at $port: $(cat "$work/elect.$port")"
  "$folder/etcdctl" --endpoints=127.0.0.1:$port elect -l place > "$work/leader.$port" 2>&1 &
  observer=$!
  wait_for 40 grep -q me "$work/leader.$port" || fail "nobody leads at $port: $(cat "$work/leader.$port")"
  kill -9 $elected $observer
  wait $elected $observer 2> /dev/null
  mask < "$work/leader.$port" >> "$work/lock.$port"
done
cmp -s "$work/lock.23790" "$work/lock.13790" || fail "locks: $(diff "$work/lock.23790" "$work/lock.13790")"

# Watches: many through one proxy are one at the cluster, and each hears the same, over a restart of etcd.
watchers=
for i in $(seq 12); do
  stdbuf -oL "$folder/etcdctl" --endpoints=127.0.0.1:13790 watch w --prefix > "$work/watch.$i" 2>&1 &
  watchers="$watchers $!"
done
page() { curl -s --max-time 40 --noproxy '*' "http://127.0.0.1:$1$2"; }
coalescing() { page 13790 /proxy/metrics | grep -q '^etcd_grpc_proxy_watchers_coalescing_total 11'; }
wait_for 40 coalescing || fail "watchers: $(page 13790 /proxy/metrics | grep watchers_coal)"
# And one of the proxy that watches for its like.
page 1379 /metrics | grep -q '^etcd_debugging_mvcc_watcher_total 2$' || fail "$(page 1379 /metrics | grep watcher_total)"
ctl --endpoints=127.0.0.1:13790 put w1 first > /dev/null
heard() { [ "$(cat "$work"/watch.* | grep -c "$1")" = 12 ]; }
wait_for 40 heard first || fail "the first event: $(cat "$work"/watch.* | grep -c first)"
kill -9 $etcd_pid
wait $etcd_pid 2> /dev/null
error=$(ctl --endpoints=127.0.0.1:13790 --command-timeout=2s put x y 2>&1) && fail "a put without a cluster"
page 13790 /health | grep -q '"health":"false"' || fail "health without a cluster: $(page 13790 /health)"
start_etcd ours 1379
wait_for 40 ctl --endpoints=127.0.0.1:13790 put w2 second
wait_for 40 heard second || fail "the event behind a restart: $(cat "$work"/watch.* | grep -c second)"
[ "$(cat "$work"/watch.* | grep -c first)" = 12 ] || fail "an event came twice"
kill $watchers

# Pages.
for path in /health /proxy/health; do
  theirs=$(page 23790 $path)
  ours=$(page 13790 $path)
  [ "$theirs" = "$ours" ] || fail "$path: $theirs, $ours"
done
page 13790 /metrics | grep -q '^etcd_server_has_leader 1' || fail "the cluster's metrics"
page 13790 /proxy/metrics | grep -q 'grpc_server_started_total{grpc_method="Range"' || fail "the proxy's metrics"
for path in /nowhere /; do
  theirs=$(curl -s --max-time 40 -o /dev/null -w '%{http_code}' --noproxy '*' "http://127.0.0.1:23790$path")
  ours=$(curl -s --max-time 40 -o /dev/null -w '%{http_code}' --noproxy '*' "http://127.0.0.1:13790$path")
  [ "$theirs" = "$ours" ] || fail "$path: $theirs, $ours"
done

# Users: a kept answer is nobody else's.
direct() { ctl --endpoints=127.0.0.1:1379 "$@" > /dev/null; }
direct put secret s; direct user add root:r; direct user grant-role root root; direct user add u:u; direct auth enable
ours() { ctl --endpoints=127.0.0.1:13790 "$@" 2>&1; }
[ "$(ours --user root:r get secret --consistency=s --print-value-only)" = s ] || fail "root reads"
ours --user u:u get secret --consistency=s | grep -q "permission denied" || fail "anybody reads: $(ours --user u:u get secret --consistency=s)"
ours get secret --consistency=s | grep -q "user name is empty" || fail "nobody reads: $(ours get secret --consistency=s)"
limited "$folder/etcdctl" --endpoints=127.0.0.1:13790 --user u:u watch secret 2>&1 | grep -q "permission denied" ||
  fail "anybody watches"
ours --user u:wrong get a | grep -q "authentication failed" || fail "a wrong password"

kill -TERM "$our_proxy"
wait "$our_proxy"
[ $? = 143 ] || fail "it ends by SIGTERM: $(tail -2 "$work/proxy.13790.log")"

# Command lines.
while IFS= read -r line; do
  theirs=$(limited "$folder/etcd" grpc-proxy start --listen-addr=127.0.0.1:0 $line 2>&1 | grep -v '^{' | head -1; echo "${PIPESTATUS[0]}")
  ours=$(limited "$keelson" grpc-proxy start --listen-addr=127.0.0.1:0 $line 2>&1 | grep -v '^{' | head -1; echo "${PIPESTATUS[0]}")
  count=$((count + 1))
  [ "$theirs" = "$ours" ] || fail "differs: $line: $theirs, $ours"
done << 'LINES'
--resolver-prefix=x
--resolver-ttl=5
--resolver-prefix=x --resolver-ttl=5 --advertise-client-url=
--auto-tls --self-signed-cert-validity=0
--cert=/nowhere --key=/nowhere
--unknown
LINES
echo "$count command lines, $failures failures"
[ $failures = 0 ]
