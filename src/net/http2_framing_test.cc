// HTTP/2's frames, right and wrong, whole and in pieces: what comes of each by RFC 9113.

#include "net/http2_framing.h"

#include <gtest/gtest.h>

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
using test::Frame;
using test::frame;
using test::framed;
using test::literal;
using test::setting;
using namespace std::string_literals;  // NOLINT: bytes of 0

// A stream that is open, and a call that has all of its request and waits.
const std::string kOpen = frame(kHeaders, kEndHeaders, 1, call_block("/test.Echo/Stream"));
const std::string kHanging =
    frame(kHeaders, kEndHeaders, 3, call_block("/test.Echo/Unary") + literal("hang", "1")) +
    frame(kData, kEndStream, 3, framed("x"));

ListenerOptions small_windows() {
  ListenerOptions options;
  options.stream_window = 100;
  options.connection_window = 100'000;
  return options;
}

// What the server says that is not an answer, and whether it is still there.
std::string outcome(const std::string& start, const std::string& bytes, Random* cuts = nullptr) {
  TestService service;
  MemoryServer<Http2Session> server(&service.router, small_windows());
  server.feed(start);
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = cuts ? 1 + cuts->below(cuts->below(4) ? 12 : 3000) : bytes.size();
    if (!server.feed(std::string_view(bytes).substr(at, n))) break;
    at += n;
  }
  std::string said = server.take();
  std::string out;
  for (const Frame& f : test::take_frames(&said)) {
    if (f.type == kRstStream)
      out += cat("reset ", f.stream, ":", load_big32(f.payload.data()), " ");
    if (f.type == kGoaway) out += cat("goaway ", load_big32(f.payload.data() + 4), " ");
    if (f.type == kSettings && (f.flags & kAck)) out += "ack ";
    if (f.type == kPing) out += cat("ping ", f.payload, " ");
  }
  EXPECT_EQ(said, "");
  if (server.finished()) out += "end";
  service.unary.forget();
  server.close();
  return out;
}

struct Row {
  const char* what;
  std::string bytes;  // after the beginning, and the two calls
  std::string comes;
};

std::vector<Row> rows() {
  const std::string block = call_block("/test.Echo/Stream");
  const std::string ten(10, 'x');
  const auto four = [](uint32_t n) { return big32(n); };
  const std::string error1 = "goaway 1 end", error3 = "goaway 3 end", error5 = "goaway 5 end",
                    error6 = "goaway 6 end", error9 = "goaway 9 end";
  return {
      {"data of the connection", frame(kData, 0, 0, "x"), error1},
      {"data of no stream yet", frame(kData, 0, 5, "x"), error1},
      {"data of a server's stream", frame(kData, 0, 2, "x"), error1},
      {"data behind the end", frame(kData, 0, 3, "x"), error5},
      {"data without its padding's length", frame(kData, kPadded, 1, ""), error6},
      {"padding as long as the data", frame(kData, kPadded, 1, "\x03xyz"), ""},
      {"padding longer than the data", frame(kData, kPadded, 1, "\x04xyz"), error1},
      {"no data", frame(kData, 0, 1, ""), ""},
      {"nothing but padding", frame(kData, kPadded, 1, std::string(8, '\7')), ""},
      {"data beyond the stream's window",
       frame(kSettings, kAck, 0, "") + frame(kData, 0, 1, std::string(101, '\0')), "reset 1:3 "},
      {"data that fills the stream's window, and its end",
       frame(kSettings, kAck, 0, "") + frame(kData, 0, 1, std::string(1, '\0')) +
           frame(kData, kEndStream, 1, ""),
       ""},
      {"head of the connection", frame(kHeaders, kEndHeaders, 0, block), error1},
      {"head of a server's stream", frame(kHeaders, kEndHeaders, 6, block), error1},
      {"padding longer than the head",
       frame(kHeaders, kEndHeaders | kPadded, 5, "\x09" + block.substr(0, 8)), error1},
      {"head without its padding's length", frame(kHeaders, kEndHeaders | kPadded, 5, ""), error6},
      {"head with half a priority", frame(kHeaders, kEndHeaders | kHasPriority, 5, "\1\2\3"),
       error6},
      {"head with padding that reaches into the priority",
       frame(kHeaders, kEndHeaders | kPadded | kHasPriority, 5, "\1\0\0\0\1p"s), error1},
      {"head with padding and priority",
       frame(kHeaders, kEndHeaders | kPadded | kHasPriority, 5,
             "\x02"
             "\0\0\0\1p"s +
                 block + "\0\0"s),
       ""},
      {"what is no block", frame(kHeaders, kEndHeaders, 5, "\xff\xff\xff\xff\xff\xff"), error9},
      {"an index of nothing", frame(kHeaders, kEndHeaders, 5, "\xbe"), error9},
      {"half a field", frame(kHeaders, kEndHeaders, 5, "\x83\x40\x05:pa"), error9},
      {"no fields", frame(kHeaders, kEndHeaders, 5, ""), "reset 5:0 "},
      {"a head behind the end", frame(kHeaders, kEndHeaders, 3, block), error5},
      {"a second head", frame(kHeaders, kEndHeaders, 1, block), "reset 1:1 "},
      {"a head without a method", frame(kHeaders, kEndHeaders, 5, literal("X", "y")), "reset 5:1 "},
      {"a block that goes on",
       frame(kHeaders, 0, 5, block.substr(0, 9)) + frame(kContinuation, 0, 5, "") +
           frame(kContinuation, kEndHeaders, 5, block.substr(9)),
       ""},
      {"what goes on although it has ended", frame(kContinuation, kEndHeaders, 1, block), error1},
      {"what goes on as another one",
       frame(kHeaders, 0, 5, block) + frame(kContinuation, kEndHeaders, 7, ""), error1},
      {"a ping in a block", frame(kHeaders, 0, 5, block) + frame(kPing, 0, 0, "12345678"), error1},
      {"what nobody knows in a block", frame(kHeaders, 0, 5, block) + frame(77, 0, 5, ""), error1},
      {"a block too long for anybody",
       frame(kHeaders, 0, 5, block) +
           [&] {
             std::string out;
             for (int i = 0; i < 100; ++i) out += frame(kContinuation, 0, 5, literal("a", "b"));
             return out;
           }(),
       "end"},
      {"priority", frame(kPriority, 0, 9, "\0\0\0\1p"s), ""},
      {"priority of the connection", frame(kPriority, 0, 0, "\0\0\0\1p"s), error1},
      {"half a priority", frame(kPriority, 0, 9, "\0\0\1p"s), error6},
      {"reset of the connection", frame(kRstStream, 0, 0, four(8)), error1},
      {"reset of no stream yet", frame(kRstStream, 0, 5, four(8)), error1},
      {"half a reset", frame(kRstStream, 0, 1, "\0\0"s), error6},
      {"resets, twice", frame(kRstStream, 0, 1, four(8)) + frame(kRstStream, 0, 1, four(8)), ""},
      {"data behind a reset", frame(kRstStream, 0, 1, four(8)) + frame(kData, 0, 1, ten), ""},
      {"settings of a stream", frame(kSettings, 0, 1, ""), error1},
      {"settings that are acknowledged and more", frame(kSettings, kAck, 0, "123456"), error6},
      {"half a setting", frame(kSettings, 0, 0, "1234567"), error6},
      {"a push that is 2", frame(kSettings, 0, 0, setting(kEnablePush, 2)), error1},
      {"a window of 2 GB", frame(kSettings, 0, 0, setting(kInitialWindowSize, 1u << 31)), error3},
      {"too short frames", frame(kSettings, 0, 0, setting(kMaxFrameSize, 16383)), error1},
      {"too long frames", frame(kSettings, 0, 0, setting(kMaxFrameSize, 1 << 24)), error1},
      {"settings of any sort",
       frame(kSettings, 0, 0,
             setting(kMaxFrameSize, (1 << 24) - 1) + setting(kEnablePush, 1) +
                 setting(kInitialWindowSize, INT32_MAX) + setting(777, 5) +
                 setting(kHeaderTableSize, UINT32_MAX) + setting(kMaxHeaderListSize, 0)),
       "ack "},
      {"settings that make a stream's window too wide",
       frame(kWindowUpdate, 0, 1, four(INT32_MAX - 65535)) +
           frame(kSettings, 0, 0, setting(kInitialWindowSize, 65536)) +
           frame(kData, 0, 1, framed("x")),
       "ack goaway 3 end"},
      {"a promise", frame(kPushPromise, kEndHeaders, 1, four(2)), error1},
      {"ping", frame(kPing, 0, 0, "12345678"), "ping 12345678 "},
      {"ping that is an answer", frame(kPing, kAck, 0, "12345678"), ""},
      {"ping of a stream", frame(kPing, 0, 1, "12345678"), error1},
      {"half a ping", frame(kPing, 0, 0, "1234"), error6},
      {"farewell", frame(kGoaway, 0, 0, four(0) + four(0) + "text"), ""},
      {"farewell of a stream", frame(kGoaway, 0, 1, four(0) + four(0)), error1},
      {"half a farewell", frame(kGoaway, 0, 0, four(0)), error6},
      {"window", frame(kWindowUpdate, 0, 0, four(7)) + frame(kWindowUpdate, 0, 1, four(7)), ""},
      {"window with the bit that is nothing", frame(kWindowUpdate, 0, 1, four(0x80000007)), ""},
      {"half a window", frame(kWindowUpdate, 0, 1, "\0\7"s), error6},
      {"no window", frame(kWindowUpdate, 0, 0, four(0)), error1},
      {"no window of a stream", frame(kWindowUpdate, 0, 1, four(0)), "reset 1:1 "},
      {"too wide a window", frame(kWindowUpdate, 0, 0, four(INT32_MAX)), error3},
      {"too wide a window of a stream", frame(kWindowUpdate, 0, 1, four(INT32_MAX)), "reset 1:3 "},
      {"window of no stream yet", frame(kWindowUpdate, 0, 5, four(7)), error1},
      {"window of a stream that was",
       frame(kRstStream, 0, 1, four(8)) + frame(kWindowUpdate, 0, 1, four(INT32_MAX)), ""},
      {"too long a frame", frame(77, 0, 0, std::string(16385, 'x')), error6},
      {"a frame as long as may be", frame(77, 255, 0, std::string(16384, 'x')), ""},
      {"the bit of a stream's number that is nothing", frame(kPing, 0, 1u << 31, "12345678"),
       "ping 12345678 "},
  };
}

TEST(Http2FramingTest, WhatComesOfEach) {
  for (const Row& row : rows()) {
    EXPECT_EQ(outcome(beginning(), kOpen + kHanging + row.bytes), "ack " + row.comes) << row.what;
  }
}

// A client may send any byte of a frame alone.
TEST(Http2FramingTest, PiecesAreAsGoodAsTheWhole) {
  const std::vector<Row> all = rows();
  for_each_seed(20, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (const Row& row : all) {
      EXPECT_EQ(outcome(beginning(), kOpen + kHanging + row.bytes, &random), "ack " + row.comes)
          << row.what;
    }
  });
}

TEST(Http2FramingTest, WhatIsNoBeginning) {
  EXPECT_EQ(outcome("", "PRI * HTTP/2.0\r\n\r\nSM\r\r\r\n"), "end");
  EXPECT_EQ(outcome("", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kPing, 0, 0, "12345678")),
            "goaway 1 end");
  EXPECT_EQ(outcome("", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(77, 0, 0, "")), "goaway 1 end");
}

// A connection of which each test reads what the server says.
class Http2RawTest : public testing::Test {
 protected:
  Http2RawTest() { said(beginning()); }
  ~Http2RawTest() override { service_.unary.forget(); }

  std::vector<Frame> said(const std::string& bytes) {
    server_.feed(bytes);
    out_ += server_.take();
    return test::take_frames(&out_);
  }
  // The number of frames that are of this type, and of this stream.
  static size_t count(const std::vector<Frame>& frames, uint8_t type, uint32_t stream) {
    size_t n = 0;
    for (const Frame& f : frames) n += f.type == type && f.stream == stream;
    return n;
  }

  TestService service_;
  MemoryServer<Http2Session> server_{&service_.router};
  std::string out_;
};

// The call's answer is out, and its stream gone, in the middle of the client's trailers.
TEST_F(Http2RawTest, AStreamThatEndsWithinItsTrailers) {
  const std::string trailer = literal("some", "trailer");
  EXPECT_EQ(count(said(frame(kHeaders, kEndHeaders, 1, call_block("/no.Such/Method")) +
                       frame(kHeaders, kEndStream, 1, trailer)),
                  kRstStream, 1),
            1u);
  EXPECT_EQ(server_.session().streams(), 0u);
  said(frame(kContinuation, kEndHeaders, 1, trailer));
  EXPECT_EQ(count(said(frame(kPing, 0, 0, "12345678")), kPing, 0), 1u);
  EXPECT_FALSE(server_.finished());
}

// What came of them is counted until they are complete, and no longer.
TEST_F(Http2RawTest, TrailersInPiecesHoldNothing) {
  said(kOpen);
  const size_t before = server_.incoming().bytes();
  const std::string trailers = frame(kHeaders, kEndHeaders | kEndStream, 1, literal("a", "b"));
  said(trailers.substr(0, trailers.size() - 2));
  EXPECT_GT(server_.incoming().bytes(), before);
  said(trailers.substr(trailers.size() - 2));
  EXPECT_EQ(server_.session().streams(), 0u);
  EXPECT_EQ(server_.incoming().bytes(), 0u);
}

// One value that comes in pieces is as much of a head as many.
TEST_F(Http2RawTest, AValueInPiecesCounts) {
  const std::string piece(kLongestFrame, 'v');
  size_t sent = 0;
  said(frame(kHeaders, kEndStream, 1, "\x83\x86\x40\x01x" + test::hpack_number(0, 7, 1 << 20)));
  for (; sent < 63 * piece.size(); sent += piece.size()) {
    said(frame(kContinuation, 0, 1, piece));
    ASSERT_GE(server_.incoming().bytes(), sent + piece.size());
    ASSERT_LE(server_.incoming().bytes(), sent + piece.size() + 200);
  }
  said(frame(kContinuation, kEndHeaders, 1, piece));
  EXPECT_EQ(server_.incoming().bytes(), 0u);
  // Of one that cannot be taken nothing is held.
  said(frame(kHeaders, kEndStream, 3, "\x83\x86\x40\x01x" + test::hpack_number(0, 7, 2 << 20)));
  for (int i = 0; i < 50; ++i) said(frame(kContinuation, 0, 3, piece));
  EXPECT_LE(server_.incoming().bytes(), 200u);
  EXPECT_FALSE(server_.finished());
}

// Faults that end a stream are no way around the bound on resets.
TEST_F(Http2RawTest, ResetsThatTheClientBringsAbout) {
  uint32_t stream = 1;
  for (; stream < 100'000 && !server_.finished(); stream += 2) {
    said(frame(kHeaders, kEndHeaders, stream, call_block("/test.Echo/Stream")) +
         frame(kWindowUpdate, 0, stream, big32(0)));
  }
  EXPECT_EQ(stream / 2, 20'001u);
}

// Who asks and does not read is left when so much is to be said that nobody would wait for it.
TEST_F(Http2RawTest, AnswersToTheDeafAreFew) {
  server_.socket_full = true;
  int asked = 0;
  for (; asked < 5000 && !server_.finished(); ++asked) server_.feed(frame(kSettings, 0, 0, ""));
  EXPECT_EQ(asked, 1001);
}

// Nor does it go where the socket's bytes wait.
TEST_F(Http2RawTest, AFullQueueTakesNothing) {
  OutQueue out;
  out.append(std::string(1000, 'x'));
  server_.socket_full = true;
  for (int i = 0; i < 10; ++i) {
    server_.feed(frame(kSettings, 0, 0, ""));
    EXPECT_TRUE(server_.session().produce(out, 1000));
  }
  EXPECT_EQ(out.size(), 1000u);
  EXPECT_TRUE(server_.session().produce(out, 1001));
  EXPECT_EQ(out.size(), 1000 + 10 * kFrameHead);
}

}  // namespace
}  // namespace keelson::net
