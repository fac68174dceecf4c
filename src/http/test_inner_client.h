// http/test_inner_client.h
//
// For tests: unary calls of a router's methods without a network, on a loop that is named.
//
// Threads: one caller, not a loop.

#pragma once

#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/inner_call.h"
#include "net/loop.h"
#include "net/router.h"

namespace keelson::http {

class TestInnerClient {
 public:
  TestInnerClient(net::LoopPool& loops, const net::Router& router, net::CallObserver* observer)
      : loops_(loops), router_(router), observer_(observer) {}

  struct Options {
    int loop = 0;
    std::optional<Duration> timeout = std::nullopt;
  };

  // Waits for the end.
  absl::Status call(std::string_view path, std::string_view body, Options options) {
    return begin(path, body, options).get();
  }
  absl::Status call(std::string_view path, std::string_view body) { return call(path, body, {}); }

  // The handler has been given the request when this returns.
  std::future<absl::Status> begin(std::string_view path, std::string_view body, Options options) {
    auto client = std::make_shared<End>();
    std::future<absl::Status> over = client->over.get_future();
    std::promise<void> begun;
    net::Loop& loop = loops_.at(options.loop);
    loop.post([&, client] {
      net::InnerCall* call = net::InnerCall::make(&loop,
                                                  {.method = router_.table().find_method(path),
                                                   .observer = observer_,
                                                   .address = "127.0.0.1:5",
                                                   .timeout = options.timeout},
                                                  client);
      const net::CallRef keep(call);
      call->open();
      call->message(Bytes::copy(body));
      call->half_close();
      begun.set_value();
    });
    begun.get_future().wait();
    return over;
  }

 private:
  struct End final : net::InnerCall::Client {
    void on_message(net::MessageParts) override {}
    void on_finish(absl::Status status) override { over.set_value(std::move(status)); }
    size_t pending() const override { return 0; }
    std::promise<absl::Status> over;
  };

  net::LoopPool& loops_;
  const net::Router& router_;
  net::CallObserver* const observer_;
};

}  // namespace keelson::http
