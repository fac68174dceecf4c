#include "net/grpc_codec.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "base/endian.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::net {
namespace {

TEST(GrpcCodecTest, TimeoutUnits) {
  const std::pair<const char*, int64_t> cases[] = {{"1n", 1},
                                                   {"12u", 12'000},
                                                   {"100m", 100'000'000},
                                                   {"5S", 5'000'000'000},
                                                   {"2M", 120'000'000'000},
                                                   {"1H", 3'600'000'000'000},
                                                   {"0m", 0},
                                                   {"99999999H", INT64_MAX}};
  for (auto [text, nanoseconds] : cases) {
    auto parsed = parse_grpc_timeout(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->count(), nanoseconds) << text;
  }
  for (const char* bad : {"", "S", "1", "1s", "-1S", "1.5S", "123456789m", " 1S"}) {
    EXPECT_FALSE(parse_grpc_timeout(bad).ok()) << bad;
  }
}

TEST(GrpcCodecTest, ErrorTextsRepeatSoMuchAndNoMore) {
  EXPECT_EQ(net::quoted("a\"b\n\xff"), "\"a\\\"b\\n\\xff\"");
  const std::string most(kMostRepeated, 'a');
  EXPECT_EQ(net::quoted(most), cat("\"", most, "\""));
  EXPECT_EQ(net::quoted(cat(most, "a")), cat("\"", most, "\"..."));
  EXPECT_EQ(net::quoted(std::string(1 << 20, '\xff')).size(), 4 * kMostRepeated + 5);
}

TEST(GrpcCodecTest, PercentEncoding) {
  EXPECT_EQ(percent_encode("plain ~text!"), "plain ~text!");
  EXPECT_EQ(percent_encode("100%"), "100%25");
  EXPECT_EQ(percent_encode("a\nb"), "a%0Ab");
  EXPECT_EQ(percent_encode("\xc3\xbc"), "%C3%BC");
  EXPECT_EQ(percent_encode("\xf0\x9f\x98\x80"), "%F0%9F%98%80");
  EXPECT_EQ(percent_encode("\xff."), "%EF%BF%BD.");
  EXPECT_EQ(percent_encode("\xc3"), "%EF%BF%BD");
  EXPECT_EQ(percent_encode("\xed\xa0\x80"), "%EF%BF%BD%EF%BF%BD%EF%BF%BD");  // a surrogate
}

TEST(GrpcCodecTest, Base64BothPaddings) {
  std::string out;
  ASSERT_TRUE(decode_base64("YQ==", &out));
  EXPECT_EQ(out, "a");
  ASSERT_TRUE(decode_base64("YQ", &out));
  EXPECT_EQ(out, "a");
  EXPECT_FALSE(decode_base64("Y", &out));
  EXPECT_FALSE(decode_base64("Y!==", &out));
  EXPECT_EQ(encode_base64("a"), "YQ");
}

TEST(GrpcCodecTest, ContentTypes) {
  for (const char* good : {"application/grpc", "application/grpc+proto", "application/grpc;x"}) {
    EXPECT_TRUE(is_grpc_content_type(good)) << good;
  }
  for (const char* bad : {"", "application/grp", "application/grpcx", "application/json"}) {
    EXPECT_FALSE(is_grpc_content_type(bad)) << bad;
  }
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

TEST(GrpcCodecTest, Gunzip) {
  for (size_t size : {0u, 1u, 4095u, 4096u, 4097u, 100000u}) {
    std::string text(size, 'g');
    auto plain = gunzip(gzip(text), size);
    ASSERT_TRUE(plain.ok()) << size << plain.status().ToString();
    EXPECT_EQ(plain->view(), text);
    if (size > 0) {
      EXPECT_EQ(gunzip(gzip(text), size - 1).status().code(), absl::StatusCode::kResourceExhausted);
    }
  }
  std::string cut = gzip(std::string(1000, 'g'));
  cut.resize(cut.size() / 2);
  EXPECT_EQ(gunzip(cut, 10000).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(gunzip("", 10000).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(gunzip("not gzip at all", 10000).status().code(), absl::StatusCode::kInternal);
}

// Any messages, cut anywhere, come out as they went in.
TEST(MessageReaderTest, CutsDoNotMatter) {
  for_each_seed(200, [](uint64_t seed) {
    SeededRandom random(seed);
    std::vector<std::string> messages;
    std::string wire;
    for (uint64_t n = random.below(12); n > 0; --n) {
      std::string text(random.below(random.below(4) ? 40 : 100'000), static_cast<char>('a' + n));
      bool compressed = random.below(4) == 0;
      std::string body = compressed ? gzip(text) : text;
      wire.push_back(compressed ? '\1' : '\0');
      wire += big32(static_cast<uint32_t>(body.size())) + body;
      messages.push_back(std::move(text));
    }
    MessageReader reader;
    reader.reset(200'000, true);
    std::vector<std::string> got;
    for (size_t at = 0; at < wire.size();) {
      size_t n = std::min<size_t>(1 + random.below(random.below(2) ? 5 : 30'000), wire.size() - at);
      std::string_view piece = std::string_view(wire).substr(at, n);
      at += n;
      while (!piece.empty()) {
        auto step = reader.feed(&piece);
        ASSERT_NE(step, MessageReader::Step::kBad) << reader.error().ToString();
        if (step == MessageReader::Step::kMessage) got.push_back(reader.take().str());
      }
    }
    EXPECT_EQ(got, messages);
    EXPECT_FALSE(reader.in_message());
  });
}

}  // namespace
}  // namespace keelson::net
