// Flags of etcd's group "Member", and Keelson's own.

#include "server/flag_table.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using enum FlagEffect;

template <typename Accessor>
FlagSpec member(std::string_view name, FlagEffect effect, Accessor accessor,
                std::string_view help) {
  return flag(name, FlagGroup::kMember, effect, accessor, help);
}

std::vector<FlagSpec> rows_of_storage() {
  return {
      member("name", kYes, KEELSON_FIELD(name), "The member's name, for people and logs."),
      member("data-dir", kYes, KEELSON_FIELD(data_dir),
             "Where the member keeps its data; '${name}.etcd' if empty."),
      member("wal-dir", kYes, KEELSON_FIELD(wal_dir),
             "Where the log is kept, if not in the data directory."),
      member("snapshot-count", kYes, KEELSON_FIELD(snapshot_count),
             "Entries applied between two log snapshots."),
      member("max-snapshots", kYes, KEELSON_FIELD(max_snapshots),
             "Snapshot files to keep (0: all); deprecated, as in etcd."),
      member("max-wals", kYes, KEELSON_FIELD(max_wals), "Log segment files to keep (0: all)."),
      member("quota-backend-bytes", kYes, KEELSON_FIELD(quota_backend_bytes),
             "Size of the database from which on writes are refused; 0 means 2 GiB, a negative "
             "number means no limit."),
      member("backend-bbolt-freelist-type", kNoMeaning, KEELSON_FIELD(backend_freelist_type),
             "Free list of etcd's bbolt."),
      member("backend-batch-interval", kNoMeaning, KEELSON_FIELD(backend_batch_interval),
             "Longest time between two commits of etcd's backend."),
      member("backend-batch-limit", kNoMeaning, KEELSON_FIELD(backend_batch_limit),
             "Most operations between two commits of etcd's backend."),
      member("memory-mlock", kYes, KEELSON_FIELD(memory_mlock),
             "Lock the process's pages into memory."),
  };
}

std::vector<FlagSpec> rows_of_consensus() {
  return {
      member("heartbeat-interval", kYes, KEELSON_FIELD(heartbeat_interval_ms),
             "Time between two heartbeats, in milliseconds."),
      member("election-timeout", kYes, KEELSON_FIELD(election_timeout_ms),
             "Time without a leader after which an election starts, in milliseconds."),
      member("initial-election-tick-advance", kYes, KEELSON_FIELD(initial_election_tick_advance),
             "Start with most of the first election timeout already passed."),
      member("raft-read-timeout", kYes, KEELSON_FIELD(raft_read_timeout),
             "Read timeout of connections between members."),
      member("raft-write-timeout", kYes, KEELSON_FIELD(raft_write_timeout),
             "Write timeout of connections between members."),
      in_file(member("feature-gates", kYes, KEELSON_FIELD(feature_gates),
                     "Gate=true|false, comma-separated; AllAlpha and AllBeta stand for all of a "
                     "stage."),
              FileKind::kString),
  };
}

std::vector<FlagSpec> rows_of_network() {
  return {
      member("listen-peer-urls", kYes, KEELSON_FIELD(listen_peer_urls),
             "Where other members reach this one."),
      member("listen-client-urls", kYes, KEELSON_FIELD(listen_client_urls),
             "Where clients reach this member: gRPC, and HTTP unless that has URLs of its own."),
      member("listen-client-http-urls", kYes, KEELSON_FIELD(listen_client_http_urls),
             "Where clients reach this member's HTTP, apart from gRPC."),
      member("max-txn-ops", kYes, KEELSON_FIELD(max_txn_ops),
             "Most operations in one transaction."),
      member("max-request-bytes", kYes, KEELSON_FIELD(max_request_bytes),
             "Largest request of a client."),
      member("max-concurrent-streams", kYes, KEELSON_FIELD(max_concurrent_streams),
             "Most streams that one connection may have open at a time."),
      member("grpc-keepalive-min-time", kYes, KEELSON_FIELD(grpc_keepalive_min_time),
             "Shortest time between two pings of a client."),
      member("grpc-keepalive-interval", kYes, KEELSON_FIELD(grpc_keepalive_interval),
             "Quiet time after which the server pings a client (0: never)."),
      member("grpc-keepalive-timeout", kYes, KEELSON_FIELD(grpc_keepalive_timeout),
             "Time after which an unanswered ping closes the connection."),
      member("socket-reuse-port", kYes, KEELSON_FIELD(socket_reuse_port),
             "Listen with SO_REUSEPORT."),
      member("socket-reuse-address", kYes, KEELSON_FIELD(socket_reuse_address),
             "Listen with SO_REUSEADDR."),
      member("enable-grpc-gateway", kYes, KEELSON_FIELD(enable_grpc_gateway),
             "Serve the JSON form of the API."),
  };
}

std::vector<FlagSpec> rows_of_keelson() {
  return {
      flag("keelson-value-cache-bytes", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_value_cache_bytes),
           "Memory for the newest values of keys; others are read from disk."),
      flag("keelson-io-threads", FlagGroup::kKeelson, kYes, KEELSON_FIELD(keelson_io_threads),
           "Threads that serve connections (0: one per core)."),
      flag("keelson-wal-segment-bytes", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_wal_segment_bytes),
           "Size at which a segment of the write-ahead log ends (disk space is taken one ahead)."),
      flag("keelson-write-buffer-bytes", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_write_buffer_bytes),
           "Memory for changes that the store has not written to its files yet."),
      flag("keelson-access-log", FlagGroup::kKeelson, kYes, KEELSON_FIELD(keelson_access_log),
           "Write a line for each call of a client to stderr, stdout or a file: who, what, how "
           "long."),
      flag("keelson-access-log-keys", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_access_log_keys), "Tell there which keys it was about."),
      flag("keelson-archive", FlagGroup::kKeelson, kYes, KEELSON_FIELD(keelson_archive),
           "Directory to keep history in, so that the state of any revision can be restored "
           "(keelutl restore); none if empty."),
      flag("keelson-archive-snapshot-interval", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_archive_snapshot_interval),
           "Time between two snapshots in the archive; they come sooner when much is written."),
      flag("keelson-archive-max-age", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_archive_max_age),
           "How far back the archive reaches; what is older is removed (0: never)."),
      flag("keelson-archive-max-bytes", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_archive_max_bytes),
           "Size from which on the oldest part of the archive is removed (0: never)."),
      flag("keelson-archive-max-snapshots", FlagGroup::kKeelson, kYes,
           KEELSON_FIELD(keelson_archive_max_snapshots),
           "Snapshots in the archive, of which the oldest is removed when there are more (0: any "
           "number)."),
  };
}

}  // namespace

std::span<const FlagSpec> member_flags() {
  static const std::vector<FlagSpec> rows = [] {
    std::vector<FlagSpec> all = rows_of_storage();
    for (const auto& more : {rows_of_consensus(), rows_of_network(), rows_of_keelson()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return rows;
}

}  // namespace keelson::server
