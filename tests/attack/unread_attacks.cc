// Attacks with answers that nobody takes, and with requests that wait: what they make the member
// hold.

#include <memory>
#include <string>
#include <vector>

#include "proto/rpc.pb.h"
#include "tests/attack/attacks.h"
#include "tests/attack/raw_client.h"
#include "tests/harness/raw.h"

namespace keelson::attack {
namespace {

namespace h2 = harness::h2;
using Reading = RawClient::Reading;

constexpr const char* kRange = "/etcdserverpb.KV/Range";
constexpr int kListed = 60000;

std::string list(int keys) {
  etcdserverpb::RangeRequest request;
  request.set_key("fill/");
  request.set_range_end("fill0");
  request.set_serializable(true);
  request.set_limit(keys);
  return request.SerializeAsString();
}

std::string get(uint32_t stream, std::string_view path) {
  const h2::Fields fields = {{":method", "GET"},
                             {":scheme", "http"},
                             {":path", std::string(path)},
                             {":authority", "attack"}};
  return h2::headers(stream, h2::block(fields), true);
}

// Many lists from one connection.
void many_lists(Target& target) {
  RawClient client(target.address, Reading::kNo);
  client.hello();
  const std::string body = list(kListed);
  for (uint32_t stream = 1; stream < 3000; stream += 2) {
    client.send(h2::unary_call(stream, kRange, body));
  }
  target.wait(std::chrono::hours(1));
}

// One from each of many.
void one_list_each(Target& target) {
  std::vector<std::unique_ptr<RawClient>> clients;
  const std::string body = list(kListed);
  for (int i = 0; i < 1500 && !target.over; ++i) {
    clients.push_back(std::make_unique<RawClient>(target.address, Reading::kNo));
    clients.back()->hello();
    clients.back()->send(h2::unary_call(1, kRange, body));
  }
  target.wait(std::chrono::hours(1));
}

// Plain answers over HTTP/2, forty thousand from each of a few connections.
void many_pages(Target& target) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RawClient>(target.address, Reading::kNo));
    clients.back()->hello();
  }
  for (uint32_t stream = 1; stream < 80000 && !target.over; stream += 200) {
    std::string out;
    for (uint32_t i = 0; i < 200; i += 2) out += get(stream + i, "/metrics");
    for (auto& client : clients) client->send_some(out);
  }
  target.wait(std::chrono::hours(1));
}

// Pages that are read, without a pause.
void pages_of_metrics(Target& target) {
  std::string out;
  while (!target.over) {
    RawClient client(target.address, Reading::kYes, 1u << 30);
    bool going = client.hello();
    for (uint32_t stream = 1; going && !target.over && stream < 1000000; stream += 200) {
      out.clear();
      for (uint32_t i = 0; i < 200; i += 2) out += get(stream + i, "/metrics");
      going = client.send(out);
    }
  }
}

// Heads of a megabyte of which the last bytes never come.
void half_heads(Target& target) {
  std::vector<std::unique_ptr<RawClient>> clients;
  const std::string head = h2::headers(
      1, h2::block(h2::grpc_request(kRange, h2::Fields(20, {"x", std::string(50000, 'm')}))),
      false);
  for (int i = 0; i < 1500 && !target.over; ++i) {
    clients.push_back(std::make_unique<RawClient>(target.address, Reading::kNo));
    clients.back()->hello();
    clients.back()->send(head.substr(0, head.size() - 20000));
  }
  target.wait(std::chrono::hours(1));
}

}  // namespace

std::vector<Attack> unread_attacks() {
  const std::vector<std::string> from_disk = {"--keelson-value-cache-bytes=0"};
  return {
      {"many-lists",
       "1500 unread lists of 60,000 keys on one connection",
       many_lists,
       {.grown_mb = 500, .left_mb = 100}},
      {"many-held-lists",
       "the same of values that are not in memory",
       many_lists,
       {.grown_mb = 500, .left_mb = 100},
       from_disk},
      {"one-list-each",
       "1500 connections with an unread list each",
       one_list_each,
       {.grown_mb = 1300, .left_mb = 150}},
      {"one-held-list-each",
       "the same of values that are not in memory",
       one_list_each,
       {.grown_mb = 1300, .left_mb = 150},
       from_disk},
      {"many-pages",
       "40,000 unread pages of metrics on each of 8 connections",
       many_pages,
       {.grown_mb = 1300, .left_mb = 150}},
      {"metrics", "requests for the metrics without a pause", pages_of_metrics, {.grown_mb = 500}},
      {"half-heads",
       "1500 heads of a megabyte that never end",
       half_heads,
       {.grown_mb = 700, .left_mb = 100}},
  };
}

}  // namespace keelson::attack
