#!/bin/bash
# A kube-apiserver on three members of Keelson, over TLS with client certificates: it starts, its objects are created,
# updated under a condition, listed in pages and watched, and all of that goes on while the member that leads is killed,
# while a member is restarted in good order, and after a compaction that it asked for.
#
# usage: run_apiserver.sh <keelson> <keelctl> [<kube-apiserver>]
# The kube-apiserver is the third argument, $KEELSON_KUBE_APISERVER, or in PATH. $KEELSON_STORE: another server with
# etcd's flags in the place of <keelson> (a real etcd, to compare). Exit status 77 (skipped) without one of the tools.
set -u
keelson=$(realpath "${KEELSON_STORE:-$1}") keelctl=$(realpath "$2")
apiserver=$(realpath "${3:-${KEELSON_KUBE_APISERVER:-$(command -v kube-apiserver)}}")
[ -x "$apiserver" ] || { echo "skipped: no kube-apiserver"; exit 77; }
for tool in openssl curl python3; do
  command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
unset "${!ETCDCTL_@}" "${!ETCD_@}"

work=$(mktemp -d)
declare -A pids=()
api=
cleanup() {
  for process in $api "${pids[@]}"; do kill -9 "$process" 2>/dev/null && wait "$process" 2>/dev/null; done
  if [ "${failures:-1}" -eq 0 ] && [ -z "${KEELSON_KEEP:-}" ]; then rm -rf "$work"; else echo "what it left is in $work"; fi
}
trap cleanup EXIT
cd "$work" || exit 1
failures=0
# expect <what> <pattern> <text>
expect() {
  [[ $3 =~ $2 ]] && return
  echo "FAILED: $1: not /$2/ but: ${3:0:600}"
  failures=$((failures + 1))
}
# pause <seconds>
pause() { read -r -t "$1" <> <(:) || true; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other 2>/dev/null
openssl genrsa -out accounts.key 2048 2>/dev/null
# certificate <name> <authority> <use>
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1/O=system:masters" 2>/dev/null
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=%s\n' "$3" > ext
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" -days 2 -extfile ext 2>/dev/null
}
certificate member ca serverAuth,clientAuth
certificate apiserver-etcd-client ca clientAuth
certificate admin ca clientAuth
certificate stranger other clientAuth

# Ports that were free a moment ago, below those that connections are given.
read -r -a ports < <(python3 - <<'P'
import random, socket
found = []
while len(found) < 7:
    port = random.randrange(20000, 32000)
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))
        if port not in found:
            found.append(port)
    except OSError:
        pass
print(*found)
P
)
cluster=m0=https://127.0.0.1:${ports[3]},m1=https://127.0.0.1:${ports[4]},m2=https://127.0.0.1:${ports[5]}
endpoints=https://127.0.0.1:${ports[0]},https://127.0.0.1:${ports[1]},https://127.0.0.1:${ports[2]}
# member <number>
member() {
  "$keelson" --name "m$1" --data-dir "data$1" --initial-cluster "$cluster" --initial-cluster-token kube \
    --listen-client-urls "https://127.0.0.1:${ports[$1]}" --advertise-client-urls "https://127.0.0.1:${ports[$1]}" \
    --listen-peer-urls "https://127.0.0.1:${ports[$(($1 + 3))]}" --initial-advertise-peer-urls "https://127.0.0.1:${ports[$(($1 + 3))]}" \
    --cert-file member.pem --key-file member.key --trusted-ca-file ca.pem --client-cert-auth \
    --peer-cert-file member.pem --peer-key-file member.key --peer-trusted-ca-file ca.pem --peer-client-cert-auth \
    >> "log$1" 2>&1 &
  pids[$1]=$!
}
ctl() { "$keelctl" --endpoints "$endpoints" --cacert ca.pem --cert apiserver-etcd-client.pem --key apiserver-etcd-client.key "$@"; }
for number in 0 1 2; do member $number; done

"$apiserver" --etcd-servers "$endpoints" --etcd-cafile ca.pem --etcd-certfile apiserver-etcd-client.pem --etcd-keyfile apiserver-etcd-client.key \
  --etcd-compaction-interval 20s --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "${ports[6]}" --cert-dir api-certs \
  --client-ca-file ca.pem --authorization-mode RBAC --disable-admission-plugins ServiceAccount \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file accounts.key \
  --service-account-signing-key-file accounts.key --service-cluster-ip-range 10.0.0.0/24 ${KEELSON_KUBE_FLAGS:-} > api.log 2>&1 &
api=$!
# kube <curl flags…> <path>: what the API server answers; the last line is the code
kube() {
  local path=${*: -1}
  curl -sk --max-time 60 --cert admin.pem --key admin.key -w '\n%{http_code}' "${@:1:$(($# - 1))}" "https://127.0.0.1:${ports[6]}$path"
}
for _ in $(seq 1200); do
  [[ $(kube /readyz 2>/dev/null) =~ 200$ ]] && ready=1 && break
  kill -0 "$api" 2>/dev/null || { echo "FAILED: kube-apiserver ended:"; tail -20 api.log; failures=1; exit 1; }
  pause 0.1
done
expect "the API server is ready" '^1$' "${ready:-0}"
kube /version | grep gitVersion

# What a store that does not know the client answers.
expect "a client of another authority is refused" 'certificate|authority|tls|EOF|reset|deadline' \
  "$("$keelctl" --endpoints "https://127.0.0.1:${ports[0]}" --cacert ca.pem --cert stranger.pem --key stranger.key --command-timeout 3s get x 2>&1)"

maps=/api/v1/namespaces/default/configmaps
for _ in $(seq 100); do [[ $(kube /api/v1/namespaces/default) =~ 200$ ]] && break; pause 0.1; done
body() { printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","labels":{"app":"test"}},"data":{"n":"%s"}}' "$1" "$2"; }
first=$(kube $maps | grep -o '"resourceVersion": *"[0-9]*"' | head -1 | grep -o '[0-9]*')
curl -skN --cert admin.pem --key admin.key "https://127.0.0.1:${ports[6]}$maps?watch=1&resourceVersion=$first&labelSelector=app%3Dtest" > watched 2>/dev/null &
watcher=$!
# create <from> <to>: every one must be there in the end, whatever goes wrong meanwhile: one whose answer was lost may be there already
create() {
  local number answer
  for number in $(seq "$1" "$2"); do
    for _ in $(seq 300); do
      answer=$(kube -H 'Content-Type: application/json' -X POST -d "$(body "c$number" "$number")" $maps)
      [[ $answer =~ (201|409)$ ]] && break
      pause 0.05
    done
    [[ $answer =~ (201|409)$ ]] || expect "c$number is created" 201 "$answer"
  done
}
create 1 200

# A conditional update: the version that is there, then the one that was.
old=$(kube $maps/c1 | sed '$d')
expect "an update with the version that is there" '200$' "$(kube -H 'Content-Type: application/json' -X PUT -d "${old/\"n\": \"1\"/\"n\": \"updated\"}" $maps/c1)"
expect "an update with the version that was" '409$' "$(kube -H 'Content-Type: application/json' -X PUT -d "$old" $maps/c1)"

# Pages of 30.
names() { python3 -c 'import json,sys; d=json.load(sys.stdin); print("\n".join(i["metadata"]["name"] for i in d["items"])); open("next","w").write(d["metadata"].get("continue",""))'; }
: > listed
: > next
while :; do
  kube "$maps?limit=30&labelSelector=app%3Dtest${token:+&continue=$token}" | sed '$d' | names >> listed
  token=$(cat next)
  [ -n "$token" ] || break
done
expect "a list in pages has them all" '^200$' "$(sort -u listed | wc -l)"
expect "the store has them" '"Count" : 200' "$(ctl get --prefix /registry/configmaps/default/c --count-only --write-out fields)"

# The member that leads is killed while objects are created.
leader() {
  ctl endpoint status --write-out json | python3 -c 'import json,sys
for number, e in enumerate(json.load(sys.stdin)):
    s = e["Status"]
    if s["leader"] == s["header"]["member_id"]: print(number)'
}
led=$(leader)
expect "one leads" '^[012]$' "$led"
create 201 300 &
creating=$!
pause 0.5
kill -9 "${pids[$led]}"
wait "${pids[$led]}" 2>/dev/null
wait "$creating"
member "$led"
# One after the other is restarted in good order, as an upgrade does.
for number in 0 1 2; do
  create $((301 + number * 50)) $((350 + number * 50)) &
  creating=$!
  for _ in $(seq 300); do ctl endpoint health >/dev/null 2>&1 && break; pause 0.1; done
  began=$(date +%s%N)
  kill "${pids[$number]}"
  wait "${pids[$number]}"
  expect "member $number ends by the signal" '^143$' $?
  member $number
  wait "$creating"
  echo "50 objects created around the restart of member $number: $((($(date +%s%N) - began) / 1000000)) ms"
done
for _ in $(seq 300); do ctl endpoint health >/dev/null 2>&1 && break; pause 0.1; done
expect "all are there" '^450$' "$(kube "$maps?labelSelector=app%3Dtest" | sed '$d' | names | sort -u | wc -l)"
expect "the store has all" '"Count" : 450' "$(ctl get --prefix /registry/configmaps/default/c --count-only --write-out fields)"

# A watch from before everything: the API server's own history is long enough, or it says that it is gone.
for _ in $(seq 300); do [ "$(grep -o '"type":"ADDED"' watched | wc -l)" -ge 450 ] && break; kill -0 $watcher 2>/dev/null || break; pause 0.1; done
expect "the watch has told of all" '^450$' "$(python3 -c 'import json
names = set()
for line in open("watched"):
    event = json.loads(line)
    if event["type"] == "ADDED": names.add(event["object"]["metadata"]["name"])
print(len(names))')"
kill $watcher 2>/dev/null

# It compacts every 20 s by a key of its own; after that the store says so.
for _ in $(seq 600); do
  [[ $(ctl get compact_rev_key --write-out json) =~ '"value"' ]] && compacted=1 && grep -q 'finished scheduled compaction' log0 log1 log2 && break
  pause 0.1
done
expect "the API server compacts" '^1$' "${compacted:-0}"
expect "deleting them" '200$' "$(kube -X DELETE "$maps?labelSelector=app%3Dtest")"
expect "none is left" '"items": *\[\]' "$(kube "$maps?labelSelector=app%3Dtest")"
hashes=$(ctl endpoint hashkv --write-out json | grep -o '"hash":[0-9]*' | sort -u | wc -l)
expect "the members agree" '^1$' "$hashes"
[ "$failures" -eq 0 ] && echo "passed"
exit $((failures > 0))
