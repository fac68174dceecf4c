// proxy/leased_call.h
//
// LeasedCall asks the cluster, as a client, what leasing needs for one call of its: one question
// after the other, or a few at once, until the client has gone or its time is over.
//
// Threads: cancel_later() on any; the rest on the lane. Lifetime: shared by the call's cancellation
//   and whoever works for it; client and lane outlive it.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "outbound/rpc_client.h"

namespace keelson::proxy {

class LeasedCall : public std::enable_shared_from_this<LeasedCall> {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  using Done = absl::AnyInvocable<void(absl::StatusOr<Parts>)>;

  LeasedCall(outbound::RpcClient& client, Executor& lane, Metadata metadata,
             std::optional<MonotonicTime> deadline)
      : client_(client), lane_(lane), metadata_(std::move(metadata)), deadline_(deadline) {}

  // `done` is called once, on the lane, not from inside.
  void ask(std::string path, Bytes message, Done done);

  void cancel_later() {
    lane_.post([self = shared_from_this()] { self->cancel(); });
  }

 private:
  void cancel();

  outbound::RpcClient& client_;
  Executor& lane_;
  const Metadata metadata_;
  const std::optional<MonotonicTime> deadline_;
  bool cancelled_ = false;
  // shared_ptr as RpcClient has it.
  std::map<uint64_t, std::shared_ptr<outbound::RpcCall>> asked_;
  uint64_t last_ = 0;
};

}  // namespace keelson::proxy
