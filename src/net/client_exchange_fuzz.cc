// An exchange of the HTTP client whose server says anything, in pieces of any size, while the
// receiver pauses and goes on and time goes by: it hears a head, then a body, then one end.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/client_exchange.h"
#include "net/memory_connection.h"

namespace keelson::net {
namespace {

struct Heard {
  int heads = 0;
  size_t body = 0;
  int ends = 0;
  bool paused = false;
};

class Hearing final : public HttpReceiver {
 public:
  explicit Hearing(Heard* heard) : heard_(*heard) {}
  void on_head(HttpResponseHead head) override {
    CHECK(heard_.heads++ == 0);
    CHECK(heard_.ends == 0);
    CHECK(head.status >= 200);
  }
  void on_body(std::string_view piece) override {
    CHECK(heard_.heads == 1);
    CHECK(heard_.ends == 0);
    CHECK(!heard_.paused);
    CHECK(!piece.empty());
    heard_.body += piece.size();
  }
  void on_end(absl::Status status) override {
    CHECK(heard_.ends++ == 0);
    if (status.ok()) CHECK(heard_.heads == 1);
  }

 private:
  Heard& heard_;
};

class Carrier final : public ExchangeCarrier {
 public:
  void exchange_ready() override {}
  size_t unsent() const override { return 0; }
  void exchange_over(ClientExchange*, bool) override { CHECK(overs_++ == 0); }

 private:
  int overs_ = 0;
};

HttpClientRequest request_for(uint8_t way) {
  HttpClientRequest request;
  request.place = {.host = "a", .port = "1"};
  request.method = way & 1 ? "HEAD" : way & 2 ? "POST" : "GET";
  if (way & 2) request.body = MessageParts::copy(std::string(100, 'b'));
  if (way & 4) {
    request.deadlines = {.head = std::chrono::seconds(3), .stall = std::chrono::seconds(2)};
  }
  return request;
}

// What happens between two pieces.
void happen(uint8_t what, ClientExchange& exchange, Heard* heard, ManualClock* clock) {
  switch (what) {
    case 0:
      heard->paused = true;
      return exchange.pause();
    case 1:
      heard->paused = false;
      return exchange.resume();
    case 2:
      return clock->advance(std::chrono::milliseconds(700));
    default:
      return;
  }
}

}  // namespace

void fuzz_client_exchange(std::string_view input) {
  if (input.empty()) return;
  const auto way = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  ManualClock clock;
  Loop loop(&clock);
  const auto settle = [&] {
    while (loop.run_ready() > 0) {
    }
  };
  Heard heard;
  Carrier carrier;
  HttpClientOptions options;
  options.max_head_bytes = 4096;
  auto exchange = std::make_shared<ClientExchange>(&loop, request_for(way),
                                                   std::make_unique<Hearing>(&heard), options);
  exchange->wait_in(&carrier, std::chrono::seconds(1));
  exchange->go_out_on(&carrier);
  OutQueue out;
  exchange->produce(out, SIZE_MAX);
  exchange->sent();
  const size_t all = input.size();
  size_t piece = 1 + (way >> 3);
  for (uint8_t turn = way; !input.empty() && !exchange->over(); ++turn) {
    exchange->receive(input.substr(0, piece));
    input.remove_prefix(std::min(piece, input.size()));
    settle();
    happen(turn % 5, *exchange, &heard, &clock);
    settle();
  }
  heard.paused = false;
  if (!exchange->over()) exchange->resume();
  settle();
  if (!exchange->over()) exchange->input_ended();
  settle();
  CHECK(exchange->over());
  CHECK(heard.ends == 1);
  CHECK(heard.body <= all);
}

}  // namespace keelson::net

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::net::fuzz_client_exchange({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
