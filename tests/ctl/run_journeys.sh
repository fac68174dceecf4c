#!/bin/bash
# Runs each journey's command lines twice, on two fresh servers: with the reference client and with
# the client under test; compares stdout, exit code and the last "Error:" line of stderr. Ids,
# ports and times are masked, and so is what 3.5's etcdctl prints otherwise than 3.7's.
#
# usage: run_journeys.sh <keelctl> <journey>…
# KEELSON_COMPAT_SERVER   the server to run both clients against (default: the real etcd)
# KEELSON_COMPAT_CLIENT   the reference client (default: the real etcdctl)
# Exit status 77 (skipped) if there is no etcd.
#
# A journey is a list of blocks, apart by empty lines. A block's first line is the command line
# (read by the shell; $EP is the endpoint, $LEASE the last lease granted), the lines after it are
# its standard input ("." stands for an empty line). "#" starts a comment; "! sh" runs a shell line.
set -u
keelctl=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$("$root/../shared/bin/get-etcd" 2>/dev/null | tail -1)
etcd=${folder:+$folder/etcd}
etcd=${etcd:-$(command -v etcd)}
etcdctl=${folder:+$folder/etcdctl}
etcdctl=${KEELSON_COMPAT_CLIENT:-${etcdctl:-$(command -v etcdctl)}}
if [ ! -x "$etcd" ] || [ ! -x "$etcdctl" ]; then
  echo "skipped: no etcd and etcdctl"
  exit 77
fi
server=${KEELSON_COMPAT_SERVER:-$etcd}
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap cleanup EXIT
unset "${!ETCDCTL_@}"
# A login is part of dialling, for which there are two seconds: on a busy machine not enough for TLS
# and for a password that is made slow on purpose. How long something may take is not compared here.
# (etcdctl takes no flag beside its variable.)
export ETCDCTL_DIAL_TIMEOUT=60s ETCDCTL_COMMAND_TIMEOUT=60s

# With KEELSON_TEST_TLS both servers and both clients speak TLS.
scheme=http tls_flags=()
if [ "${KEELSON_TEST_TLS:-0}" != 0 ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" \
    2>/dev/null || { echo "skipped: no openssl"; exit 77; }
  scheme=https
  tls_flags=(--cert-file "$work/cert.pem" --key-file "$work/key.pem")
  export ETCDCTL_CACERT=$work/cert.pem
fi

# Two ports that are free now; a server that loses the race for one is started again on others.
start_server() {
  local name=$1 try
  for try in 1 2 3 4 5; do
    local port=$((20000 + (RANDOM * 2) % 12000))
    local client="$scheme://127.0.0.1:$port" peer="http://127.0.0.1:$((port + 1))"
    "$server" --name default --data-dir "$work/$name-$try" --listen-client-urls "$client" \
      --advertise-client-urls "$client" --listen-peer-urls "$peer" \
      --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" \
      "${tls_flags[@]}" \
      > "$work/$name.log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    for _ in $(seq 200); do
      kill -0 "$pid" 2>/dev/null || break
      if ETCDCTL_COMMAND_TIMEOUT=2s "$etcdctl" --endpoints "$scheme://127.0.0.1:$port" get x >/dev/null 2>&1; then
        started="127.0.0.1:$port"
        return 0
      fi
      read -r -t 0.1 <> <(:) || true
    done
  done
  echo "the server does not start:"
  tail -5 "$work/$name.log"
  exit 1
}

mask() {
  sed -E -e 's/127\.0\.0\.1:[0-9]+/HOST/g' \
    -e 's/"(cluster_id|member_id|leader|ID|id)":"?[0-9a-f]+"?/"\1":N/g' \
    -e 's/"(ClusterID|MemberID|Leader|ID)" : [0-9a-f]+/"\1" : N/' \
    -e 's/\b[0-9a-f]{12,16}\b/IDENT/g' \
    -e 's/took( =)? [0-9.]+(ns|µs|ms|s|m)+/took TIME/' -e 's/"took":"[^"]*"/"took":"TIME"/' \
    -e 's/remaining\([0-9]+s\)/remaining(N)/' -e 's/"(ttl|TTL)":[0-9]+/"\1":N/' -e 's/"TTL" : [0-9]+/"TTL" : N/' \
    -e 's/"Took" : .*/"Took" : TIME/' -e 's/clientURLS/clientURLs/' -e 's/keelctl/etcdctl/g' \
    -e 's/"ResponseRange"/"response_range"/; s/"ResponsePut"/"response_put"/' \
    -e 's/"ResponseDeleteRange"/"response_delete_range"/' \
    -e 's/─+/─/g; s/ +/ /g' -e 's/\. took TIME$//' -e 's/ <filename>$//' \
    -e 's/,"CancelReason":""//' -e '/^"Revision" : 0$/d' -e 's/[ \t]+$//'
}

# run <client> <endpoint> <out> <command> <stdin>: one line's outcome, masked, appended to <out>.
run() {
  local client=$1 EP=$2 out=$3 command=$4 input=$5 code
  local lease_file=$out.lease LEASE
  LEASE=$(cat "$lease_file" 2>/dev/null)
  export EP LEASE
  if [ "${command#! }" != "$command" ]; then
    eval "${command#! }" > "$work/stdout" 2> "$work/stderr" < /dev/null
  else
    printf '%s' "$input" |
      eval "timeout 150 \"$client\" --endpoints \"$EP\" $command" > "$work/stdout" 2> "$work/stderr"
  fi
  code=$?
  sed -nE 's/^lease ([0-9a-f]{16}) granted.*/\1/p' "$work/stdout" > "$work/lease"
  [ -s "$work/lease" ] && cp "$work/lease" "$lease_file"
  { echo "> $command"; mask < "$work/stdout"
    grep -a '^Error:' "$work/stderr" | tail -1 | mask
    echo "[exit $code]"; } >> "$out"
}

total=0
failed=0
for journey in "$@"; do
  pids=()
  start_server reference; reference=$started
  start_server tested; tested=$started
  : > "$work/a"; : > "$work/b"; rm -f "$work"/[ab].lease
  command="" input=""
  flush() {
    [ -z "$command" ] && return
    run "$etcdctl" "$reference" "$work/a" "$command" "$input"
    run "$keelctl" "$tested" "$work/b" "$command" "$input"
    total=$((total + 1))
    command="" input=""
  }
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      \#*) ;;
      "") flush ;;
      *) if [ -z "$command" ]; then command=$line
         elif [ "$line" = . ]; then input+=$'\n'
         else input+=$line$'\n'; fi ;;
    esac
  done < "$journey"
  flush
  if diff -u --label etcdctl --label keelctl "$work/a" "$work/b"; then
    echo "ok   $(basename "$journey")"
  else
    echo "FAIL $(basename "$journey")"
    failed=$((failed + 1))
  fi
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
done
echo "$total command lines, $failed journeys differ"
[ "$failed" -eq 0 ]
