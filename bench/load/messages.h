// bench/load/messages.h
//
// The requests of the load, as ready gRPC frames, and what is read from the answers. Built by hand
// (base/protobuf.h): a generator that spends more on a request than the server measures itself.
// Field numbers: etcd's rpc.proto and kv.proto.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace keelson::bench {

inline constexpr const char* kRangePath = "/etcdserverpb.KV/Range";
inline constexpr const char* kPutPath = "/etcdserverpb.KV/Put";
inline constexpr const char* kTxnPath = "/etcdserverpb.KV/Txn";
inline constexpr const char* kWatchPath = "/etcdserverpb.Watch/Watch";

struct RangeSpec {
  std::string_view key;
  std::string_view range_end;
  int64_t limit = 0;
  bool serializable = false;
};

// Each appends one frame to `out`.
void add_range(std::string& out, const RangeSpec& range);
void add_put(std::string& out, std::string_view key, std::string_view value);
// As Kubernetes writes: only if the key's mod revision is still `revision` (0: if it is not there),
// else the present value is returned.
void add_guarded_put(std::string& out, std::string_view key, std::string_view value,
                     int64_t revision);
// Collects puts for one transaction.
void add_put_operation(std::string& operations, std::string_view key, std::string_view value);
void add_transaction(std::string& out, std::string_view operations);
void add_watch_create(std::string& out, std::string_view key, std::string_view range_end);

// The end of the range of all keys that begin with `prefix`.
std::string prefix_end(std::string_view prefix);

// The message of a frame; empty when it is not whole.
std::string_view message_of_frame(std::string_view frame);

struct RangeAnswer {
  int64_t count = 0;
  uint64_t keys = 0;
  bool more = false;
  std::string_view last_key;  // points into what was read
};
bool read_range_answer(std::string_view message, RangeAnswer* answer);

struct TxnAnswer {
  bool succeeded = false;
  int64_t revision = 0;
};
bool read_txn_answer(std::string_view message, TxnAnswer* answer);

}  // namespace keelson::bench
