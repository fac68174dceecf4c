#include "tests/attack/attacks.h"

#include <memory>
#include <thread>

#include "base/endian.h"
#include "proto/rpc.pb.h"
#include "tests/attack/raw_client.h"

namespace keelson::attack {
namespace {

namespace h2 = harness::h2;
namespace pb = etcdserverpb;
using Reading = RawClient::Reading;

constexpr const char* kRange = "/etcdserverpb.KV/Range";
constexpr const char* kTxn = "/etcdserverpb.KV/Txn";
constexpr const char* kPut = "/etcdserverpb.KV/Put";
constexpr const char* kWatch = "/etcdserverpb.Watch/Watch";
constexpr uint32_t kLargeWindow = 1u << 30;

pb::RangeRequest everything() {
  pb::RangeRequest request;
  request.set_key("fill/");
  request.set_range_end("fill0");
  request.set_serializable(true);
  return request;
}

pb::RangeRequest sorted_everything() {
  pb::RangeRequest request = everything();
  request.set_sort_target(pb::RangeRequest::VALUE);
  request.set_sort_order(pb::RangeRequest::DESCEND);
  request.set_limit(10);  // little to send: it is the sorting that costs
  return request;
}

// Two attackers, each saying again and again what `say` returns, on connections of their own; a
// connection that the server ends is made anew.
template <typename Say>
void twice(Target& target, Say say) {
  auto attacker = [&] {
    while (!target.over) {
      RawClient client(target.address, Reading::kYes, kLargeWindow);
      if (!client.hello()) continue;
      uint32_t next_stream = 1;
      while (!target.over && client.send(say(&next_stream))) {
      }
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

void ranges(Target& target) {
  pb::RangeRequest get;
  get.set_key("probe");
  get.set_serializable(true);
  twice(target, [body = get.SerializeAsString()](uint32_t* next) {
    std::string out;
    for (int i = 0; i < 500; ++i, *next += 2) out += h2::unary_call(*next, kRange, body);
    return out;
  });
}

void pages(Target& target) {
  pb::RangeRequest page = everything();
  page.set_limit(2000);
  page.set_keys_only(true);
  twice(target, [body = page.SerializeAsString()](uint32_t* next) {
    std::string out;
    for (int i = 0; i < 500; ++i, *next += 2) out += h2::unary_call(*next, kRange, body);
    return out;
  });
}

// Frames that cost the sender nothing, on one open stream.
void frames(Target& target, const std::string& one) {
  twice(target, [&](uint32_t* next) {
    std::string out;
    if (*next == 1) {
      out = h2::headers(1, h2::block(h2::grpc_request(kPut)), false);
      *next = 3;
    }
    while (out.size() < (64 << 10)) out += one;
    return out;
  });
}

void window_updates(Target& target) {
  frames(target, h2::frame(h2::kWindowUpdate, 0, 1, big32(1)));
}
void empty_data(Target& target) { frames(target, h2::frame(h2::kData, 0, 1, "")); }
void pings(Target& target) { frames(target, h2::frame(h2::kPing, 0, 0, "attacker")); }
void ping_acks(Target& target) { frames(target, h2::frame(h2::kPing, h2::kAck, 0, "attacker")); }
void priorities(Target& target) {
  frames(target, h2::frame(h2::kPriority, 0, 1, std::string("\0\0\0\0\1", 5)));
}

void chunks(Target& target) {
  auto attacker = [&] {
    std::string body;
    while (body.size() < (64 << 10)) body += "1\r\nx\r\n";
    while (!target.over) {
      RawClient client(target.address, Reading::kYes);
      bool going = client.send(
          "POST /nothing/here HTTP/1.1\r\nHost: attack\r\nTransfer-Encoding: chunked\r\n\r\n");
      while (going && !target.over) going = client.send(body);
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

// `calls` of one body at once from each of two connections, and again when they have been given a
// while.
void volleys(Target& target, const char* path, const std::string& body, int calls) {
  while (!target.over) {
    RawClient one(target.address, Reading::kYes, kLargeWindow);
    RawClient two(target.address, Reading::kYes, kLargeWindow);
    for (RawClient* client : {&one, &two}) {
      if (!client->hello()) return;
      for (int i = 0; i < calls; ++i) {
        client->send(h2::unary_call(static_cast<uint32_t>(2 * i + 1), path, body));
      }
    }
    target.wait(std::chrono::seconds(5));
  }
}

void sorts(Target& target) { volleys(target, kRange, sorted_everything().SerializeAsString(), 10); }

void sorting_txns(Target& target) {
  pb::TxnRequest txn;
  for (int i = 0; i < 10; ++i) {
    *txn.add_success()->mutable_request_range() = sorted_everything();
  }
  volleys(target, kTxn, txn.SerializeAsString(), 2);
}

// A hundred sorts, taken back at once: 16 KB of traffic.
void reset_sorts(Target& target) {
  RawClient client(target.address, Reading::kYes, kLargeWindow);
  client.hello();
  const std::string body = sorted_everything().SerializeAsString();
  for (uint32_t stream = 1; stream < 200; stream += 2) {
    client.send(h2::unary_call(stream, kRange, body));
    client.send(h2::frame(h2::kReset, 0, stream, big32(8)));
  }
  target.wait(std::chrono::hours(1));
}

// Whole lists that are asked for and never read.
void unread_lists(Target& target) {
  RawClient client(target.address, Reading::kNo, 65535);
  client.hello();
  const std::string body = everything().SerializeAsString();
  for (uint32_t stream = 1; stream <= 15; stream += 2) {
    client.send(h2::unary_call(stream, kRange, body));
  }
  target.wait(std::chrono::hours(1));
}

// A thousand requests of which most has come and the end never does.
void half_requests(Target& target) {
  std::vector<std::unique_ptr<RawClient>> clients;
  const std::string piece(16 << 10, 'x');
  std::atomic<bool> stuck{false};
  // What the server does not take stays in the socket: the sending threads end with the sockets.
  std::vector<std::thread> senders;
  for (int c = 0; c < 4; ++c) {
    clients.push_back(std::make_unique<RawClient>(target.address, Reading::kYes));
    senders.emplace_back([&client = *clients.back(), &piece] {
      client.hello();
      for (uint32_t stream = 1; stream < 500; stream += 2) {
        client.send(h2::headers(stream, h2::block(h2::grpc_request(kPut)), false) +
                    h2::frame(h2::kData, 0, stream, std::string(1, '\0') + big32(1500000)));
      }
      for (int i = 0; i < 60; ++i) {
        for (uint32_t stream = 1; stream < 500; stream += 2) {
          if (!client.send(h2::frame(h2::kData, 0, stream, piece))) return;
        }
      }
    });
  }
  target.wait(std::chrono::hours(1));
  for (auto& client : clients) client->cut();
  for (std::thread& sender : senders) sender.join();
}

// A hundred watches of everything whose events are not read, while somebody writes.
void stalled_watches(Target& target) {
  std::vector<std::unique_ptr<RawClient>> clients;
  pb::WatchRequest watch;
  watch.mutable_create_request()->set_key("stalled/");
  watch.mutable_create_request()->set_range_end("stalled0");
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<RawClient>(target.address, Reading::kNo));
    clients.back()->hello();
    clients.back()->send(h2::headers(1, h2::block(h2::grpc_request(kWatch)), false) +
                         h2::frame(h2::kData, 0, 1, h2::message(watch.SerializeAsString())));
  }
  RawClient writer(target.address, Reading::kYes, kLargeWindow);
  writer.hello();
  uint32_t stream = 1;
  pb::PutRequest put;
  put.set_value(std::string(512, 'v'));
  while (!target.over && stream < 60000) {
    put.set_key("stalled/" + std::to_string(stream % 1000));
    writer.send(h2::unary_call(stream, kPut, put.SerializeAsString()));
    stream += 2;
  }
  target.wait(std::chrono::hours(1));
}

}  // namespace

bool Target::wait(std::chrono::milliseconds most) const {
  const auto until = std::chrono::steady_clock::now() + most;
  while (!over && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return over;
}

const std::vector<Attack>& attacks() {
  static const std::vector<Attack> all = [] {
    std::vector<Attack> list = {
        {"ranges", "two connections of small Ranges without a pause", ranges, {}},
        {"pages", "two connections of Ranges of 2000 keys without a pause", pages, {}},
        {"window-updates", "WINDOW_UPDATE frames without end", window_updates, {}},
        {"empty-data", "empty DATA frames without end", empty_data, {}},
        {"pings", "PING frames without end", pings, {}},
        {"ping-acks", "PING acks without end", ping_acks, {}},
        {"priorities", "PRIORITY frames without end", priorities, {}},
        {"chunks", "chunks of one byte to a path that is not there", chunks, {}},
        {"sorts", "20 sorts of all keys at a time", sorts, {}},
        {"sorting-txns", "4 transactions of 10 sorts of all keys", sorting_txns, {}},
        {"reset-sorts", "100 sorts of all keys, reset at once", reset_sorts, {.cpu_seconds = 1.5}},
        {"unread-lists",
         "8 lists of all keys that nobody reads",
         unread_lists,
         {.grown_mb = 150, .left_mb = 100}},
        {"half-requests",
         "1000 requests of 1.5 MB that never end",
         half_requests,
         {.grown_mb = 500, .left_mb = 100}},
        {"stalled-watches",
         "100 watches that read nothing while 30 MB are written",
         stalled_watches,
         {.grown_mb = 400, .left_mb = 150}},
    };
    for (const Attack& attack : door_attacks()) list.push_back(attack);
    for (const Attack& attack : frame_attacks()) list.push_back(attack);
    for (const Attack& attack : unread_attacks()) list.push_back(attack);
    for (const Attack& attack : tls_attacks()) list.push_back(attack);
    return list;
  }();
  return all;
}

}  // namespace keelson::attack
