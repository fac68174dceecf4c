#!/bin/bash
# A directory that etcd left on a disk too small for the database twice: the start says so, and nothing is
# changed or made; with room it is converted.
#
# usage: run_small_disk.sh <keelson>
# Exit status 77 (skipped) if there is no etcd, or no namespace to mount a file system in.
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
  unshare --user --map-root-user --mount --net true 2>/dev/null || { echo "skipped: no namespaces"; exit 77; }
  # Ports are nobody else's: the network is this test's. Who is left over ends with the first process.
  KEELSON_INSIDE=1 KEELSON_ETCD=$folder exec unshare --user --map-root-user --mount --net --pid --fork \
    --kill-child "$0" "$@"
fi
# Up with the loopback device: SIOCSIFFLAGS, IFF_UP | IFF_RUNNING.
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14s", b"lo", 0x41, b""))' || exit 1
work=$(mktemp -d)
trap 'umount "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
mkdir "$work/disk"
mount -t tmpfs -o size=1500m tmpfs "$work/disk" || { echo "skipped: no tmpfs"; exit 77; }

urls() { echo "--listen-$1-urls=http://127.0.0.1:$2" "--$3-urls=http://127.0.0.1:$2"; }
flags=(--name=m --data-dir="$work/disk/data" $(urls client 2379 advertise-client) $(urls peer 2380 initial-advertise-peer)
       --initial-cluster=m=http://127.0.0.1:2380)
export ETCDCTL_API=3
ctl() { "$folder/etcdctl" --command-timeout=5s "$@"; }
starts() {  # starts <log>: until it serves, or has ended
  for _ in $(seq 300); do
    ctl get x > /dev/null 2>&1 && return 0
    kill -0 "$pid" 2> /dev/null || return 1
    read -r -t 0.1 <> <(:) || true
  done
  return 1
}
"$folder/etcd" "${flags[@]}" > "$work/etcd.log" 2>&1 &
pid=$!
starts || fail "etcd: $(tail -3 "$work/etcd.log")"
head -c 1000000 /dev/urandom > "$work/value"
for i in $(seq 60); do ctl put "key$i" < "$work/value" > /dev/null || fail "put"; done
kill -TERM "$pid"; wait "$pid"

listing() { (cd "$work/disk/data" && find . | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
before=$(listing)
free=$(df --output=avail -B1 "$work/disk" | tail -1)
head -c $((free - 100000000)) /dev/zero > "$work/disk/ballast"
"$keelson" "${flags[@]}" > "$work/log" 2>&1 && fail "it starts"
grep -q 'not enough disk space' "$work/log" || fail "it says: $(tail -3 "$work/log")"
[ "$(listing)" = "$before" ] || fail "something was changed"

rm "$work/disk/ballast"
"$keelson" "${flags[@]}" > "$work/log" 2>&1 &
pid=$!
starts || fail "keelson: $(tail -3 "$work/log")"
[ "$(ctl get key60 --print-value-only | head -c 1000000 | sha256sum)" = "$(sha256sum < "$work/value")" ] || fail "a value"
[ -d "$work/disk/data/member.etcd" ] || fail "etcd's files are kept"
kill -TERM "$pid"; wait "$pid"
echo ok
