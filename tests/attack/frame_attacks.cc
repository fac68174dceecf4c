// Attacks made of frames and messages: the types that nothing is done with, windows of a byte,
// bodies that unfold.

#include <zlib.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/endian.h"
#include "proto/rpc.pb.h"
#include "tests/attack/attacks.h"
#include "tests/attack/raw_client.h"

namespace keelson::attack {
namespace {

namespace h2 = harness::h2;
namespace pb = etcdserverpb;
using Reading = RawClient::Reading;

constexpr const char* kRange = "/etcdserverpb.KV/Range";
constexpr uint8_t kPushPromise = 5;
constexpr uint8_t kUnknown = 0x50;

// Two attackers that say the same again and again; a connection that the server ends is made anew.
void keep_saying(Target& target, const std::string& first, const std::string& again) {
  auto attacker = [&] {
    while (!target.over) {
      RawClient client(target.address, Reading::kYes);
      bool going = client.hello() && client.send(first);
      while (going && !target.over) going = client.send(again);
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

std::string much_of(const std::string& one) {
  std::string out;
  while (out.size() < (64 << 10)) out += one;
  return out;
}

void goaways(Target& target) {
  keep_saying(target, "", much_of(h2::frame(h2::kGoaway, 0, 0, std::string(8, '\0'))));
}
void unknown_frames(Target& target) {
  keep_saying(target, "", much_of(h2::frame(kUnknown, 0, 0, "?")));
}
// A client must not; so it is the making of connections that costs.
void push_promises(Target& target) {
  keep_saying(target, "", much_of(h2::frame(kPushPromise, 4, 1, std::string("\0\0\0\2\x82", 5))));
}
// Of a stream that has ended.
void late_resets(Target& target) {
  pb::RangeRequest get;
  get.set_key("probe");
  keep_saying(target, h2::unary_call(1, kRange, get.SerializeAsString()),
              much_of(h2::frame(h2::kReset, 0, 1, big32(8))));
}

// Two hundred lists on each of two connections, taken a byte at a time.
void tiny_windows(Target& target) {
  pb::RangeRequest all;
  all.set_key("fill/");
  all.set_range_end("fill0");
  std::string first, again;
  for (uint32_t stream = 1; stream < 400; stream += 2) {
    first += h2::unary_call(stream, kRange, all.SerializeAsString());
    again += h2::window_update(stream, 1);
  }
  auto attacker = [&] {
    while (!target.over) {
      RawClient client(target.address, Reading::kYes, 1);
      bool going = client.hello() && client.send(first);
      while (going && !target.over) {
        going = client.send(again + h2::window_update(0, 200));
      }
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

std::string gzipped_zeros(size_t size) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string zeros(1 << 20, '\0');
  std::string out(size / 500 + 1000, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  for (size_t done = 0; done < size; done += zeros.size()) {
    stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
    stream.avail_in = static_cast<uInt>(zeros.size());
    const bool last = done + zeros.size() >= size;
    CHECK(deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH) == (last ? Z_STREAM_END : Z_OK));
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void gzip_bombs(Target& target) {
  const std::string bomb = gzipped_zeros(size_t{128} << 20);
  const std::string message =
      std::string(1, '\1') + big32(static_cast<uint32_t>(bomb.size())) + bomb;
  const std::string head = h2::block(h2::grpc_request(kRange, {{"grpc-encoding", "gzip"}}));
  auto attacker = [&] {
    while (!target.over) {
      RawClient client(target.address, Reading::kYes, 1u << 30);
      bool going = client.hello();
      for (uint32_t stream = 1; going && !target.over && stream < 16; stream += 2) {
        std::string out = h2::headers(stream, head, false);
        for (size_t at = 0; at < message.size(); at += 16 << 10) {
          const bool last = at + (16 << 10) >= message.size();
          out +=
              h2::frame(h2::kData, last ? h2::kEndStream : 0, stream, message.substr(at, 16 << 10));
        }
        going = client.send(out);
      }
      // What the window does not admit yet the server has not asked for: begin anew.
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

}  // namespace

std::vector<Attack> frame_attacks() {
  const Bounds small{.grown_mb = 60, .left_mb = 40};
  return {
      {"goaways", "GOAWAY frames without end", goaways, small},
      {"unknown-frames", "frames of no known type without end", unknown_frames, small},
      {"push-promises", "PUSH_PROMISE frames without end", push_promises, small},
      {"late-resets", "RST_STREAM frames of an ended stream without end", late_resets, small},
      {"tiny-windows",
       "200 lists on each of two connections, taken a byte at a time",
       tiny_windows,
       {.grown_mb = 400, .left_mb = 60}},  // what goes out of 400 lists at once
      {"gzip-bombs",
       "messages of 128 KB that unfold to 128 MB",
       gzip_bombs,
       {.grown_mb = 200, .left_mb = 60}},
  };
}

}  // namespace keelson::attack
