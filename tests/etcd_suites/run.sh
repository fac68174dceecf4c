#!/bin/bash
# etcd's own suites (tests/e2e, tests/common, tests/robustness of etcd v3.7.1), run against the programs of this tree
# under etcd's names: each test in a process and a network of its own, several at once, a line for each.
#
# usage: run.sh <build directory> <compiled tests> <their source directory> <results directory> [<pattern> [<jobs>]]
#   compiled tests: from a checkout of etcd, with its toolchain:
#     cd tests && go test -c -o e2e.test ./e2e; go test -c -tags cluster_proxy -o e2e-proxy.test ./e2e;
#     go test -c -tags e2e -o common.test ./common; go test -c -o robustness.test ./robustness
#   their source directory: tests/e2e, tests/common or tests/robustness there; fixtures are found from it.
# $KEELSON_ETCD_LAST: an etcd of the release before, which some tests start. $KEELSON_ETCDCTL, $KEELSON_ETCDUTL: another
# etcdctl or etcdutl than ours. $KEELSON_SECONDS: at most for one test, 240 unless told.
# Root (or a user who may make network namespaces). The results directory gets a log for each test, and `results`.
set -eu
build=$(realpath "$1") tests=$(realpath "$2") source=$(realpath "$3") out=$4 pattern=${5:-.*} jobs=${6:-2}
seconds=${KEELSON_SECONDS:-240}
mkdir -p "$out/bin" "$out/tmp"
out=$(realpath "$out")
ln -sf "$build/bin/keelson" "$out/bin/etcd"
ln -sf "${KEELSON_ETCDCTL:-$build/bin/keelctl}" "$out/bin/etcdctl"
ln -sf "${KEELSON_ETCDUTL:-$build/bin/keelutl}" "$out/bin/etcdutl"
if [ -n "${KEELSON_ETCD_LAST:-}" ]; then ln -sf "$KEELSON_ETCD_LAST" "$out/bin/etcd-last-release"; fi
: > "$out/results"
export out tests source seconds

one() {
  local name=$1 status=0 told
  cd "$source"
  TMPDIR=$out/tmp timeout -k 5 $((seconds + 10)) unshare -n -p -f --mount-proc --kill-child \
    bash -c 'ip link set lo up; exec "$@"' run "$tests" -test.v -test.timeout "${seconds}s" -test.run "^$name\$" -bin-dir "$out/bin" \
    > "$out/$name.log" 2>&1 || status=$?
  told=$(grep -aE "^--- (PASS|FAIL|SKIP): $name " "$out/$name.log" | head -1 | sed 's/^--- \([A-Z]*\):.*(\(.*\))$/\1 \2/')
  echo "$name ${told:-ended with $status}" >> "$out/results"
}
export -f one

(cd "$source" && "$tests" -test.list "$pattern" -bin-dir "$out/bin" 2> /dev/null) | grep '^Test' |
  xargs -P "$jobs" -I{} bash -c 'one {}'
grep -v ' PASS ' "$out/results" | sort || true
echo "$(grep -c ' PASS ' "$out/results") of $(wc -l < "$out/results") passed"
! grep -qv ' \(PASS\|SKIP\) ' "$out/results"
