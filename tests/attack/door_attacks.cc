// Attacks on what stands in front of the handlers: heads, bodies that dawdle, resets, descriptors.

#include <sys/resource.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/attack/attacks.h"
#include "tests/attack/raw_client.h"
#include "tests/harness/raw.h"

namespace keelson::attack {
namespace {

namespace h2 = harness::h2;
using harness::RawConnection;
using Reading = RawClient::Reading;

constexpr const char* kRange = "/etcdserverpb.KV/Range";
constexpr uint32_t kLastStream = 1u << 30;

// Two attackers that say again and again what `say` returns for the next stream; a connection that
// the server ends is made anew.
template <typename Say>
void keep_saying(Target& target, Say say) {
  auto attacker = [&] {
    while (!target.over) {
      RawClient client(target.address, Reading::kYes);
      bool going = client.hello();
      for (uint32_t stream = 1; going && !target.over && stream < kLastStream; stream += 2) {
        going = client.send(say(stream));
      }
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

void header_flood(Target& target) {
  h2::Fields more;
  for (int i = 0; i < 16; ++i) more.emplace_back("x-big", std::string(64 << 10, 'm'));
  const std::string block = h2::block(h2::grpc_request(kRange, more));
  keep_saying(target, [&](uint32_t stream) { return h2::headers(stream, block, false); });
}

// A field of 4000 bytes in the decoder's table, said again with one byte each time.
void hpack_bomb(Target& target) {
  std::string block("\x40\x01x\x7f\xa1\x1e", 6);
  block += std::string(4000, 'b') + std::string(1 << 20, '\xbe');
  keep_saying(target, [&](uint32_t stream) { return h2::headers(stream, block, true); });
}

void continuations(Target& target) {
  keep_saying(target, [&](uint32_t stream) {
    std::string out = h2::frame(h2::kHeaders, 0, stream, "\x83");
    for (int i = 0; i < 2000; ++i) out += h2::frame(h2::kContinuation, 0, stream, "");
    return out;
  });
}

void rapid_resets(Target& target) {
  const std::string block = h2::block(h2::grpc_request("/etcdserverpb.Watch/Watch"));
  keep_saying(target, [&](uint32_t stream) {
    return h2::headers(stream, block, false) +
           h2::frame(h2::kReset, 0, stream, std::string("\0\0\0\x8", 4));
  });
}

void settings(Target& target) {
  const std::string one = h2::setting(3, 100);
  keep_saying(target, [&](uint32_t) { return one; });
}

// Opens `count` connections, each of which has said `first`, then has them say `more` each a few
// times a second.
void dawdle(Target& target, int count, const std::string& first, const std::string& more) {
  std::vector<std::unique_ptr<RawConnection>> all;
  while (!target.over) {
    while (all.size() < static_cast<size_t>(count)) {
      all.push_back(std::make_unique<RawConnection>(target.address));
      all.back()->send(first);
    }
    for (auto& one : all) {
      if (!one->send(more, std::chrono::milliseconds(0)))
        one = std::make_unique<RawConnection>(target.address);
    }
    if (target.wait(std::chrono::milliseconds(200))) return;
  }
}

void slow_heads(Target& target) {
  std::thread h1([&] { dawdle(target, 500, "GET /health HTTP/1.1\r\nHost: x\r\nA: ", "a"); });
  dawdle(target, 500, h2::preface() + h2::frame(h2::kHeaders, 0, 1, "\x83"),
         h2::frame(h2::kContinuation, 0, 1, "\x86"));
  h1.join();
}

void slow_bodies(Target& target) {
  dawdle(target, 1000, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "b");
}

void silence(Target& target) { dawdle(target, 1000, "", ""); }

// More connections than there are descriptors; the store must not notice.
void descriptors(Target& target) {
  std::vector<std::unique_ptr<RawConnection>> all;
  for (int i = 0; i < 1500; ++i) all.push_back(std::make_unique<RawConnection>(target.address));
  target.wait(std::chrono::hours(1));
}

}  // namespace

std::vector<Attack> door_attacks() {
  // The runner's own sockets.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return {
      {"header-flood",
       "metadata of 1 MB without end",
       header_flood,
       {.grown_mb = 100, .left_mb = 60}},
      {"hpack-bomb",
       "heads of 1 MB that unfold to 4 GB",
       hpack_bomb,
       {.grown_mb = 60, .left_mb = 40}},
      {"continuations",
       "empty CONTINUATION frames without end",
       continuations,
       {.grown_mb = 40, .left_mb = 40}},
      {"rapid-resets",
       "watches opened and reset without a pause",
       rapid_resets,
       {.grown_mb = 60, .left_mb = 40}},
      {"settings", "SETTINGS frames without end", settings, {.grown_mb = 40, .left_mb = 40}},
      {"slow-heads",
       "1000 heads that come a byte at a time",
       slow_heads,
       {.grown_mb = 60, .left_mb = 40}},
      {"slow-bodies",
       "1000 bodies that come a byte at a time",
       slow_bodies,
       {.grown_mb = 60, .left_mb = 40}},
      {"silence", "1000 connections that say nothing", silence, {.grown_mb = 40, .left_mb = 40}},
      {"descriptors",
       "1500 connections where 600 descriptors are allowed",
       descriptors,
       {.grown_mb = 60, .left_mb = 40, .descriptors = 600}},
  };
}

}  // namespace keelson::attack
