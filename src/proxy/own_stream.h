// proxy/own_stream.h
//
// What the proxy itself asks the cluster, beside what it asks for clients.
//
// Threads: the lane's. Lifetime: client and lane outlive what is asked.

#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "base/executor.h"
#include "outbound/rpc_client.h"
#include "proxy/client_stream.h"
#include "proxy/messages.h"

namespace keelson::proxy {

constexpr Duration kOwnPatience = std::chrono::seconds(5);

// Its side of a stream: nobody reads it slowly.
class OwnSink : public ClientSink {
 public:
  size_t unread() const override { return 0; }
  void when_read(Task /*told*/) override {}
  void answered() override {}
};

// A call of its own. `done`, with StatusOr<Response>, is run on the lane, once.
template <typename Response, typename Request, typename Done>
void ask_for_self(outbound::RpcClient& client, Executor& lane, const Clock& clock, std::string path,
                  const Request& request, Done done) {
  outbound::RpcRequest asked{.path = std::move(path),
                             .message = Bytes::copy(request.SerializeAsString()),
                             .deadline = clock.now() + kOwnPatience};
  client.unary(std::move(asked),
               [&lane, done = std::move(done)](absl::StatusOr<Parts> answered) mutable {
                 absl::StatusOr<Response> response = Response();
                 if (!answered.ok()) {
                   response = answered.status();
                 } else if (absl::Status s = parse_answer(*answered, &*response); !s.ok()) {
                   response = s;
                 }
                 lane.post([done = std::move(done), response = std::move(response)]() mutable {
                   done(std::move(response));
                 });
               });
}

}  // namespace keelson::proxy
