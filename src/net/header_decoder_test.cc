// HeaderDecoder, which does not look twice at what it knows, against one that always looks; and the
// blocks of answers against nghttp2's decoder.

#include "net/header_decoder.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <utility>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/header_encoder.h"
#include "net/test_frames.h"
#include "net/test_hpack.h"

namespace keelson::net {
namespace {

using test::literal;
using namespace std::string_literals;  // NOLINT: bytes of 0
using test::Fields;
using test::Inflater;

// Everything that can be asked of a head.
std::string told(const RequestHead& head) {
  std::string out = cat("fault ", static_cast<int>(head.fault()), "\n");
  if (head.fault() != RequestHead::Fault::kNone) return out;
  out += cat(head.bytes(), " bytes, ", head.hosts(), " hosts, authority ", head.authority(), "\n");
  for (int which = 0; which < RequestHead::kKnownCount; ++which) {
    const auto known = static_cast<RequestHead::Known>(which);
    out += cat(which, head.has(known) ? "=" : "-", head.known(known), "\n");
  }
  head.each(
      [&](std::string_view name, std::string_view value) { out += cat(name, ": ", value, "\n"); });
  return out;
}

constexpr size_t kLimit = 3000;

// Looks at all that comes, and remembers nothing but the table.
class Twin {
 public:
  std::string take(std::string_view block) {
    Fields fields;
    if (!inflater_.take(block, &fields)) return "broken";
    RequestHead head;
    for (const auto& [name, value] : fields) head.add(name, value, kLimit, RequestHead());
    return told(head);
  }

 private:
  Inflater inflater_;
};

// One connection, decoded both ways.
class Both {
 public:
  // False: the connection is of no use any more.
  bool same(std::string_view block, Random* cuts = nullptr) {
    const std::string slow = twin_.take(block);
    RequestHead head;
    const bool good = cut(block, cuts, &head);
    EXPECT_EQ(good ? told(head) : "broken", slow);
    // Calls live on for a while, with what they had.
    if (good && kept_.size() < 20) kept_.emplace_back(head, slow);
    return good && !testing::Test::HasFailure();
  }
  // A block that is nobody's request.
  bool passed_over(std::string_view block) {
    const bool good = twin_.take(block) != "broken";
    EXPECT_EQ(decoder_.take(block, true, true, nullptr), good);
    return good;
  }
  void expect_kept() {
    for (const auto& [head, was] : kept_) EXPECT_EQ(told(head), was);
    kept_.clear();
  }

 private:
  bool cut(std::string_view block, Random* cuts, RequestHead* head) {
    bool first = true;
    while (cuts && cuts->below(8) == 0) {
      const size_t n = cuts->below(block.size() + 1);
      if (!decoder_.take(block.substr(0, n), std::exchange(first, false), false, head))
        return false;
      block.remove_prefix(n);
    }
    return decoder_.take(block, first, true, head);
  }

  HeaderDecoder decoder_{kLimit};
  Twin twin_;
  std::vector<std::pair<RequestHead, std::string>> kept_;
};

std::string some_text(Random& random, std::string_view letters) {
  static constexpr size_t kLengths[] = {0, 1, 3, 20, 126, 127, 128, 400};
  std::string out;
  for (size_t n = kLengths[random.below(random.below(4) ? 4 : 8)]; n > 0; --n) {
    out.push_back(letters[random.below(letters.size())]);
  }
  return out;
}

Fields some_fields(Random& random) {
  Fields out = {{":method", "POST"}, {":scheme", "http"}, {":path", "/a.B/C"}};
  if (random.below(2)) out.push_back({":authority", random.below(2) ? "a" : "b"});
  out.push_back({"content-type", "application/grpc"});
  for (uint64_t n = random.below(4); n > 0; --n) {
    static constexpr const char* kNames[] = {"host", "te", "grpc-timeout", "token", "x-bin"};
    std::string name = random.below(4) ? kNames[random.below(5)] : some_text(random, "ab-cd");
    out.emplace_back(std::move(name), some_text(random, random.below(9) ? "0123 xyz" : "a\nB\xff"));
  }
  if (random.below(12) == 0)
    std::swap(out[random.below(out.size())], out[random.below(out.size())]);
  if (random.below(12) == 0) out.push_back(out[random.below(out.size())]);
  if (random.below(30) == 0) out.push_back({"big", std::string(random.below(4000), 'v')});
  return out;
}

// A client's encoder.
class Deflater {
 public:
  Deflater() { CHECK(nghttp2_hd_deflate_new(&hpack_, 4096) == 0); }
  ~Deflater() { nghttp2_hd_deflate_del(hpack_); }
  void resize(size_t bytes) { CHECK(nghttp2_hd_deflate_change_table_size(hpack_, bytes) == 0); }
  std::string block(const Fields& fields, bool keeps) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [name, value] : fields) {
      const uint8_t flags = keeps ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX;
      nv.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), flags});
    }
    std::string out(nghttp2_hd_deflate_bound(hpack_, nv.data(), nv.size()), '\0');
    const ssize_t n =
        nghttp2_hd_deflate_hd(hpack_, bytes_of(out), out.size(), nv.data(), nv.size());
    CHECK(n >= 0);
    out.resize(static_cast<size_t>(n));
    return out;
  }

 private:
  static uint8_t* bytes_of(const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  }
  nghttp2_hd_deflater* hpack_ = nullptr;
};

TEST(HeaderDecoderTest, AsOneThatAlwaysLooks) {
  for_each_seed(300, [](uint64_t seed) {
    SeededRandom random(seed);
    Deflater deflater;
    Both both;
    std::vector<Fields> usual;
    for (uint64_t n = 1 + random.below(4); n > 0; --n) usual.push_back(some_fields(random));
    const bool mostly_kept = random.below(2);
    for (int i = 0; i < 200; ++i) {
      if (random.below(40) == 0) deflater.resize(random.below(2) ? 4096 : random.below(4096));
      if (random.below(20) == 0) usual[random.below(usual.size())] = some_fields(random);
      const std::string block = deflater.block(usual[random.below(usual.size())],
                                               random.below(10) ? mostly_kept : !mostly_kept);
      if (random.below(15) == 0) {
        if (!both.passed_over(block)) return;
      } else if (!both.same(block, random.below(3) ? nullptr : &random)) {
        return;
      }
    }
    both.expect_kept();
  });
}

// Bytes that no encoder makes: right in parts, so that blocks come again and tables change.
TEST(HeaderDecoderTest, AnyBytes) {
  for_each_seed(2000, [](uint64_t seed) {
    SeededRandom random(seed);
    const std::string good[] = {"\x82",
                                "\x83",
                                "\x84",
                                "\x86",
                                "\xbe",
                                "\xbf",
                                "\xc0",  // indexes
                                literal(":path", "/x"),
                                "\x04\x02/y",
                                "\x14\x02/z",  // not kept, never kept
                                "\x04\x83\x60\x75\x99",
                                "\x0f\x10\x01g",
                                "\x0f\x2f\x01h",  // by Huffman's code
                                "\x0f\x90\x00\x01i"s,
                                literal("a", std::string(60, 'b')),
                                cat("\x00\x01m\x7f\x80\x00"s, std::string(127, 'v')),
                                "\x04\x7f\x01" + std::string(128, '/'),
                                "\x44\x02/k",
                                "\x40\x01n\x01v",
                                "\x7e\x01w",
                                "\x5f\x01t"};  // kept
    const std::string odd[] = {"\x80", "\xff\x00"s, "\xff\x80\x00"s, "\xff\x01",
                               "\x20", "\x3f\x09",  "\x00\x7f\x00"s, literal("", "")};
    Both both;
    std::vector<std::string> blocks;
    EXPECT_TRUE(both.same("\x40\x01x\x01p\x40\x01y\x01q\x40\x01z\x01r\x82"));
    for (int i = 0; i < 60; ++i) {
      if (blocks.empty() || random.below(4) == 0) {
        std::string block;
        if (random.below(12) == 0) block = "\x20\x3f\xe1\x1f";  // the table is emptied
        for (uint64_t n = random.below(5); n > 0; --n) {
          block += random.below(80) ? good[random.below(std::size(good))]
                                    : odd[random.below(std::size(odd))];
        }
        if (random.below(100) == 0) block.resize(random.below(block.size() + 1));
        if (random.below(100) == 0) block.push_back(static_cast<char>(random.below(256)));
        blocks.push_back(std::move(block));
      }
      const std::string& block = blocks[random.below(blocks.size())];
      if (random.below(20) == 0) {
        if (!both.passed_over(block)) return;
      } else if (!both.same(block, random.below(4) ? nullptr : &random)) {
        return;
      }
    }
    both.expect_kept();
  });
}

// The same bytes mean another thing once something else has gone into the table.
TEST(HeaderDecoderTest, TheSameBlockIsNotTheSameHead) {
  Both both;
  const std::string first_entry = "\xbe";
  EXPECT_TRUE(
      both.same("\x40\x01x\x01"
                "1"));
  EXPECT_TRUE(both.same(first_entry));
  EXPECT_TRUE(both.same(first_entry));
  EXPECT_TRUE(
      both.passed_over("\x40\x01y\x01"
                       "2"));
  EXPECT_TRUE(both.same(first_entry));
  EXPECT_TRUE(both.same(first_entry));
  EXPECT_TRUE(
      both.same("\x40\x01z\x01"
                "3\xbf"));
  EXPECT_TRUE(both.same(first_entry));
  // The table is made too small for anything, in what could be a field that is not kept.
  EXPECT_TRUE(both.passed_over("\x21\x82\x84\x86"));
  EXPECT_FALSE(both.same(first_entry));
}

// Answers as a client reads them, whose table changes while they go out.
TEST(UsualBlocksTest, AsNghttp2Reads) {
  for_each_seed(300, [](uint64_t seed) {
    SeededRandom random(seed);
    static constexpr uint32_t kTables[] = {0, 1, 59, 60, 100, 4095, 4096, 4097, 65536};
    UsualBlocks usual;
    Inflater client;
    for (int i = 0; i < 200; ++i) {
      if (random.below(i < 3 ? 3 : 60) == 0) {
        const uint32_t bytes = kTables[random.below(std::size(kTables))];
        client.limit_table(bytes);
        usual.limit_table(bytes);
      }
      Fields wanted;
      std::string block(usual.begin());
      switch (random.below(3)) {
        case 0:
          wanted = {{":status", "200"}, {"content-type", "application/grpc"}};
          block.append(usual.head());
          break;
        case 1:
          wanted = {{"grpc-status", "0"}};
          block.append(usual.trailers());
          break;
        default: {
          wanted = some_fields(random);
          std::vector<HeaderField> views;
          for (const auto& [name, value] : wanted) views.push_back({name, value});
          block.append(encode_fields(views));
        }
      }
      Fields got;
      ASSERT_TRUE(client.take(block, &got)) << i;
      ASSERT_EQ(got, wanted) << i;
    }
  });
}

}  // namespace
}  // namespace keelson::net
