// proxy/leasing_keys.h
//
// The keys and requests of leasing, by which proxies (ours and etcd's, and programs with etcd's
// client/v3/leasing) agree who may answer reads of a key by himself. Beside each key that is held
// stands a leasing key: the prefix and the key, with an empty value, under its holder's lease.
// Whoever wants to write the key puts REVOKE there, under the lease that it has, and waits until
// its holder has deleted it. Nobody writes a key unless, in the same transaction, no leasing key is
// there, or it is his own.
//
// Threads: a value. Source: etcd v3.7.1, client/v3/leasing.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/rpc.pb.h"
#include "proxy/range_cache.h"

namespace keelson::proxy {

class LeasingKeys {
 public:
  static constexpr std::string_view kRevoke = "REVOKE";

  // REQUIRES: not empty.
  explicit LeasingKeys(std::string prefix) : prefix_(std::move(prefix)) {}

  std::string of(std::string_view key) const;
  KeySpan of(const KeySpan& keys) const;
  KeySpan all() const;
  // Back. Nothing: it is no leasing key.
  std::optional<std::string> key_of(std::string_view leasing_key) const;

  // Reads the key, and takes it if nobody has it and it has no lease by which it could go away.
  // Otherwise who has it is read, too.
  etcdserverpb::TxnRequest acquire(const std::string& key, int64_t lease) const;
  // Asks for it, of the holder who began at that revision.
  etcdserverpb::TxnRequest revoke(const std::string& leasing_key, int64_t created) const;
  // Gives it up, if it was taken before that revision.
  etcdserverpb::TxnRequest release(const std::string& key, int64_t before) const;

 private:
  const std::string prefix_;
};

// Compares the revision at which keys were created. `last` 0: there is none of these.
etcdserverpb::Compare created_up_to(const KeySpan& keys, int64_t last);

// What an acquisition found.
struct Acquired {
  int64_t created = 0;   // the leasing key, if it is ours and nobody wants it; 0: it is not
  int64_t revision = 0;  // of what was read
  std::optional<mvccpb::KeyValue> value;
};
// Of an answer to acquire(); nothing: it is none.
std::optional<Acquired> read_acquired(const etcdserverpb::TxnResponse& response, int64_t lease);

}  // namespace keelson::proxy
