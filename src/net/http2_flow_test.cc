// Both sides' windows, and whose turn it is, against a client that keeps its own books.

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/memory_connection.h"
#include "net/test_client.h"
#include "net/test_frames.h"
#include "net/test_hpack.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using test::beginning;
using test::call_block;
using test::Fields;
using test::Frame;
using test::frame;
using test::framed;
using test::Inflater;
using test::setting;

// Streams that do what the test says.
class Puppets final : public StreamHandler {
 public:
  std::unique_ptr<StreamReceiver> on_open(CallRef call) override {
    last = std::move(call);
    return std::make_unique<Receiver>(this);
  }
  CallRef last;
  size_t messages = 0;

 private:
  class Receiver final : public StreamReceiver {
   public:
    explicit Receiver(Puppets* owner) : owner_(*owner) {}
    void on_message(Bytes) override { ++owner_.messages; }
    void on_half_close() override {}

   private:
    Puppets& owner_;
  };
};

constexpr char kPath[] = "/test.Echo/Puppet";
const std::string kHead = call_block(kPath);

// What a client knows of a stream.
struct Stream {
  CallRef call;
  int64_t window = 0;  // the server may send
  std::string wanted;  // what the call was told to send …
  std::string got;     // … and what came of it
  std::string status;  // "" while it goes on
  bool finished = false;
  bool ended = false;
  bool reset = false;  // by the client
};

// The client's side: counts what comes, by the order of what was acknowledged.
class Books {
 public:
  Books(MemoryServer<Http2Session>* server, Puppets* puppets)
      : server_(*server), puppets_(*puppets) {
    say(beginning());
  }
  // Calls are let go before their loop.
  void close() {
    streams.clear();
    puppets_.last = CallRef();
    server_.close();
  }

  void say(const std::string& bytes) {
    server_.feed(bytes);
    listen();
  }
  void listen() {
    while (true) {
      if (server_.fills_up) server_.socket_full = false;
      server_.settle();
      const std::string bytes = server_.take();
      if (bytes.empty()) break;
      in_ += bytes;
    }
    for (const Frame& f : test::take_frames(&in_)) take(f);
  }

  uint32_t open(uint8_t flags = 0) {
    const uint32_t id = std::exchange(next_, next_ + 2);
    streams[id].window = initial_;
    say(frame(kHeaders, kEndHeaders | flags, id, kHead));
    streams[id].call = std::exchange(puppets_.last, CallRef());
    CHECK(streams[id].call);
    return id;
  }
  void set(uint32_t initial, uint32_t most) {
    owed_.push_back({initial, most});
    say(frame(kSettings, 0, 0,
              setting(kInitialWindowSize, initial) + setting(kMaxFrameSize, most)));
  }
  void grant(uint32_t id, uint32_t bytes) {
    (id == 0 ? window : streams[id].window) += bytes;
    say(frame(kWindowUpdate, 0, id, big32(bytes)));
  }
  // What goes out is all that could.
  void expect_nothing_waits() const {
    for (const auto& [id, s] : streams) {
      if (s.reset) continue;
      if (s.got.size() < s.wanted.size()) {
        EXPECT_TRUE(window <= 0 || s.window <= 0) << id << " has " << s.window << " of " << window;
      } else {
        EXPECT_EQ(s.ended, s.finished) << id;
      }
    }
  }
  bool all_ended() const {
    for (const auto& [id, s] : streams) {
      if (!s.reset && !s.ended) return false;
    }
    return true;
  }

  int64_t window = 65535;
  std::map<uint32_t, Stream> streams;

 private:
  struct Settings {
    int64_t initial;
    size_t most;
  };

  void take(const Frame& f) {
    switch (f.type) {
      case kSettings:
        if (f.flags & kAck) acknowledged();
        break;
      case kHeaders: {
        Fields fields;
        ASSERT_TRUE(f.flags & kEndHeaders);
        ASSERT_TRUE(inflater_.take(f.payload, &fields));
        Stream& s = stream(f);
        for (const auto& [name, value] : fields) {
          if (name == "grpc-status") s.status = value;
        }
        s.ended = f.flags & kEndStream;
        break;
      }
      case kData: {
        Stream& s = stream(f);
        ASSERT_LE(f.length, most_);
        ASSERT_GT(f.length, 0u);
        window -= static_cast<int64_t>(f.length);
        s.window -= static_cast<int64_t>(f.length);
        ASSERT_GE(window, 0);
        ASSERT_GE(s.window, 0);
        s.got += f.payload;
        if (s.reset) break;
        ASSERT_EQ(s.wanted.compare(s.got.size() - f.length, f.length, f.payload), 0);
        break;
      }
      case kRstStream: {
        const Stream& s = streams[f.stream];
        if (s.reset) break;
        ASSERT_TRUE(s.ended) << f.stream;
        ASSERT_EQ(load_big32(f.payload.data()), 0u);
        break;
      }
      case kWindowUpdate:
        break;
      default:
        FAIL() << static_cast<int>(f.type);
    }
  }
  Stream& stream(const Frame& f) {
    Stream& s = streams[f.stream];
    EXPECT_FALSE(s.ended) << f.stream;
    return s;
  }
  // The first of our settings came with the beginning, and said nothing.
  void acknowledged() {
    if (!std::exchange(begun_, true)) return;
    ASSERT_FALSE(owed_.empty());
    for (auto& [id, s] : streams) s.window += owed_.front().initial - initial_;
    initial_ = owed_.front().initial;
    most_ = owed_.front().most;
    owed_.pop_front();
  }

  MemoryServer<Http2Session>& server_;
  Puppets& puppets_;
  Inflater inflater_;
  std::string in_;
  uint32_t next_ = 1;
  bool begun_ = false;
  int64_t initial_ = 65535;
  size_t most_ = 16384;
  std::deque<Settings> owed_;
};

class Http2FlowTest : public testing::Test {
 protected:
  Http2FlowTest() { router_.stream(kPath, MethodKind::kBidiStream, &puppets_); }

  Puppets puppets_;
  Router router_;
};

// Bytes that are like no others of their stream.
std::string some_bytes(Random& random, size_t size) {
  std::string out(size, '\0');
  const uint64_t salt = random.next();
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>((salt >> (i % 57)) + i / 7);
  return out;
}

void act(Stream& s, Random& random) {
  if (s.reset || s.finished) return;
  if (random.below(8) == 0) {
    s.finished = true;
    return s.call->finish(random.below(2) ? absl::OkStatus() : absl::AbortedError("so"));
  }
  static constexpr size_t kSizes[] = {0, 1, 100, 5000, 70'000, 300'000};
  const std::string message = some_bytes(random, random.below(kSizes[random.below(6)] + 1));
  s.wanted += framed(message);
  s.call->send(MessageParts::copy(message));
}

void step(Books& client, Random& random) {
  const auto any = [&]() -> uint32_t {
    return client.streams.empty() ? client.open() : 1 + 2 * random.below(client.streams.size());
  };
  const auto few = [&] { return 1 + random.below(random.below(3) ? 200 : 100'000); };
  switch (random.below(16)) {
    case 0:
      if (client.streams.size() < 40) client.open(random.below(2) ? kEndStream : 0);
      break;
    case 1: {
      const uint32_t id = any();
      if (client.streams[id].reset || client.streams[id].ended || random.below(4)) break;
      client.streams[id].reset = true;
      client.say(frame(kRstStream, 0, id, big32(8)));
      break;
    }
    case 2: {
      static constexpr uint32_t kWindows[] = {0, 1, 1000, 65535, 200'000};
      client.set(kWindows[random.below(5)], 16384 + random.below(3) * 20'000);
      break;
    }
    case 3:
      client.say(frame(kPriority, 0, any(), std::string(5, '\0')) + frame(99, 3, any(), "?"));
      break;
    case 4:
    case 5:
    case 6:
      client.grant(0, few());
      break;
    case 7:
    case 8:
    case 9:
      client.grant(any(), few());
      break;
    default:
      act(client.streams[any()], random);
      client.listen();
  }
}

TEST_F(Http2FlowTest, AllOfItArrivesWithinTheWindows) {
  for_each_seed(25, [this](uint64_t seed) {
    SeededRandom random(seed);
    MemoryServer<Http2Session> server(&router_);
    server.fills_up = random.below(2);
    Books client(&server, &puppets_);
    for (int i = 0; i < 300 && !HasFailure(); ++i) {
      step(client, random);
      client.expect_nothing_waits();
    }
    for (auto& [id, s] : client.streams) {
      if (!s.finished && !s.reset) s.call->finish(absl::OkStatus());
      s.finished = true;
    }
    client.listen();
    for (int round = 0; round < 100'000 && !client.all_ended() && !HasFailure(); ++round) {
      if (client.window < 100'000) client.grant(0, 1'000'000);
      for (auto& [id, s] : client.streams) {
        if (!s.reset && !s.ended && s.window < 10'000) client.grant(id, 100'000);
      }
    }
    for (const auto& [id, s] : client.streams) {
      if (s.reset) continue;
      EXPECT_TRUE(s.ended) << id;
      EXPECT_TRUE(s.got == s.wanted) << id << ": " << s.got.size() << " of " << s.wanted.size();
      EXPECT_TRUE(s.status == "0" || s.status == "10") << s.status;
    }
    EXPECT_FALSE(server.finished());
    client.close();
  });
}

// Long answers go in turns, and short ones do not wait for them.
TEST_F(Http2FlowTest, NobodyStarves) {
  MemoryServer<Http2Session> server(&router_);
  Books client(&server, &puppets_);
  client.set(1 << 30, 16384);
  client.grant(0, 1 << 30);
  for (int i = 0; i < 10; ++i) {
    Stream& s = client.streams[client.open()];
    const std::string message(1 << 20, 'm');
    s.wanted = framed(message);
    server.socket_full = true;
    s.call->send(MessageParts::copy(message));
  }
  for (int round = 0; round < 20; ++round) {
    server.socket_full = false;
    server.fills_up = true;
    server.settle();
    std::string bytes = server.take();
    std::map<uint32_t, size_t> got;
    for (const Frame& f : test::take_frames(&bytes)) got[f.stream] += f.length;
    ASSERT_EQ(got.size(), 10u) << round;
    for (const auto& [id, n] : got) EXPECT_LE(n, 3u * 16384) << round;
  }
  client.close();
}

// ---- what the client sends

struct Outgoing {
  CallRef call;
  int64_t window = 0;
  bool paused = false;
  bool done = false;  // the client has ended it, or reset
};

// A client that sends as much as it may.
class Sender {
 public:
  Sender(MemoryServer<Http2Session>* server, Puppets* puppets, const ListenerOptions& options)
      : server_(*server), puppets_(*puppets), initial_(options.stream_window) {
    say(beginning(setting(kInitialWindowSize, INT32_MAX)) + frame(kSettings, kAck, 0, ""));
  }
  void close() {
    streams.clear();
    puppets_.last = CallRef();
    server_.close();
  }
  void say(const std::string& bytes) {
    server_.feed(bytes);
    in_ += server_.take();
    for (const Frame& f : test::take_frames(&in_)) {
      ASSERT_TRUE(f.type != kGoaway || load_big32(f.payload.data() + 4) == 0);
      if (f.type != kWindowUpdate) continue;
      (f.stream == 0 ? window : streams[f.stream].window) += load_big32(f.payload.data());
    }
  }
  uint32_t open() {
    const uint32_t id = std::exchange(next_, next_ + 2);
    streams[id].window = initial_;
    say(frame(kHeaders, kEndHeaders, id, kHead));
    streams[id].call = std::exchange(puppets_.last, CallRef());
    return id;
  }
  // As much as is wanted and may be, some of it padding.
  void send(uint32_t id, size_t bytes, Random& random, bool end) {
    Outgoing& s = streams[id];
    const int64_t may = std::min(window, s.done ? window : s.window);
    bytes = std::min({bytes, size_t{16384}, static_cast<size_t>(std::max<int64_t>(0, may))});
    const uint8_t flags = end && !s.done ? kEndStream : 0;
    std::string payload(bytes, '\0');
    const bool padded = bytes > 0 && random.below(3) == 0;
    if (padded) payload[0] = static_cast<char>(random.below(std::min<size_t>(bytes, 256)));
    window -= static_cast<int64_t>(bytes);
    s.window -= static_cast<int64_t>(bytes);
    if (flags) s.done = true;
    say(frame(kData, flags | (padded ? kPadded : 0), id, payload));
  }

  int64_t window = 65535;
  std::map<uint32_t, Outgoing> streams;

 private:
  MemoryServer<Http2Session>& server_;
  Puppets& puppets_;
  const uint32_t initial_;
  std::string in_;
  uint32_t next_ = 1;
};

TEST_F(Http2FlowTest, WhatIsUsedMayBeSentAgain) {
  for_each_seed(25, [this](uint64_t seed) {
    SeededRandom random(seed);
    ListenerOptions options;
    static constexpr uint32_t kWindows[] = {1, 2, 1000, 65535, 65536, 300'000};
    options.stream_window = kWindows[random.below(6)];
    options.connection_window = kWindows[3 + random.below(3)];
    MemoryServer<Http2Session> server(&router_, options);
    Sender client(&server, &puppets_, options);
    std::vector<uint32_t> ended;
    const auto any = [&] {
      return 1 + 2 * static_cast<uint32_t>(random.below(client.streams.size()));
    };
    client.open();
    for (int i = 0; i < 500 && !HasFailure(); ++i) {
      const uint32_t id = any();
      Outgoing& s = client.streams[id];
      switch (random.below(12)) {
        case 0:
          if (client.streams.size() < 30) client.open();
          break;
        case 1:  // data of a stream that was may still be on its way
          if (s.done || random.below(3)) break;
          s.done = true;
          client.say(frame(kRstStream, 0, id, big32(8)));
          ended.push_back(id);
          break;
        case 2:
          if (s.done || random.below(3)) break;
          s.call->finish(absl::OkStatus());
          s.done = true;
          client.say("");
          ended.push_back(id);
          break;
        case 3:
          s.paused = !s.paused;
          s.call->set_reading(!s.paused);
          client.say("");
          break;
        case 4:
          if (!ended.empty()) client.send(ended[random.below(ended.size())], 16384, random, false);
          break;
        default:
          if (!s.done) client.send(id, random.below(20'000), random, random.below(60) == 0);
      }
    }
    for (auto& [id, s] : client.streams) {
      if (s.paused) s.call->set_reading(true);
    }
    client.say("");
    client.say("");
    EXPECT_GE(client.window,
              std::max<int64_t>(65535, options.connection_window) - options.connection_window / 2);
    for (const auto& [id, s] : client.streams) {
      if (s.done) continue;
      EXPECT_GE(s.window, options.stream_window - options.stream_window / 2) << id;
    }
    EXPECT_FALSE(server.finished());
    client.close();
  });
}

// What comes for streams that are no more is given back, however much.
TEST_F(Http2FlowTest, DataForNobodyCostsNoWindow) {
  ListenerOptions options;
  options.connection_window = 100'000;
  MemoryServer<Http2Session> server(&router_, options);
  Sender client(&server, &puppets_, options);
  SeededRandom random(1);
  const uint32_t gone = client.open();
  client.streams[gone].done = true;
  client.say(frame(kRstStream, 0, gone, big32(8)));
  // Late ones are not looked at once the server has said its last.
  server.session().drain();
  server.advance(std::chrono::seconds(2));
  const uint32_t late = gone + 2;
  client.say(frame(kHeaders, kEndHeaders, late, kHead));
  client.streams[late].done = true;
  for (int i = 0; i < 5000; ++i) {
    client.send(random.below(2) ? gone : late, 16384, random, false);
    ASSERT_GT(client.window, 0) << i;
  }
  EXPECT_EQ(server.session().streams(), 0u);
  client.close();
}

}  // namespace
}  // namespace keelson::net
