// HeaderDecoder, which does not look twice at what it knows, and the blocks of answers against
// nghttp2's decoder, which always looks.

#include "net/header_decoder.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/random.h"
#include "base/test_mutation.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/header_encoder.h"
#include "net/test_frames.h"
#include "net/test_hpack.h"

namespace keelson::net {
namespace {

using test::literal;
using namespace std::string_literals;  // NOLINT: bytes of 0
using test::Deflater;
using test::Fields;
using test::hpack_number;
using test::hpack_text;
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

Fields table_of(const HeaderDecoder& decoder) {
  Fields out;
  for (uint32_t i = HpackTable::kStatic + 1; i <= decoder.table().last(); ++i) {
    const HpackTable::Field field = decoder.table().at(i);
    out.emplace_back(field.name, field.value);
  }
  return out;
}

// nghttp2's decoder: looks at all that comes, and remembers nothing but the table.
class Twin {
 public:
  explicit Twin(size_t limit) : limit_(limit) {}
  Fields table() { return inflater_.table(); }
  std::string take(std::string_view block) {
    Fields fields;
    if (!inflater_.take(block, &fields)) return "broken";
    RequestHead head;
    for (const auto& [name, value] : fields) {
      head.add(name, value, RequestField::sort(name, value), limit_);
    }
    return told(head);
  }

 private:
  const size_t limit_;
  Inflater inflater_;
};

// One connection, decoded both ways.
class Both {
 public:
  explicit Both(size_t limit = kLimit) : decoder_(limit), twin_(limit) {}
  // False: the connection is of no use any more.
  bool same(std::string_view block, Random* cuts = nullptr) {
    const std::string slow = twin_.take(block);
    RequestHead head;
    const bool good = cut(block, cuts, &head);
    // Behind a fault not all is looked at.
    if (good && slow == "broken" && head.fault() != RequestHead::Fault::kNone) return false;
    EXPECT_EQ(good ? told(head) : "broken", slow);
    if (good) expect_same_tables();
    if (good && head.fault() == RequestHead::Fault::kNone) ++faultless_;
    // Calls live on for a while, with what they had.
    if (good && kept_.size() < 20) kept_.emplace_back(head, slow);
    return good && !testing::Test::HasFailure();
  }
  // A block that is nobody's request.
  bool passed_over(std::string_view block) {
    const bool good = twin_.take(block) != "broken";
    const bool taken = decoder_.take(block, true, true, nullptr);
    // Texts that nobody wants are not looked at.
    if (!good) return false;
    EXPECT_TRUE(taken);
    expect_same_tables();
    return !testing::Test::HasFailure();
  }
  void expect_same_tables() { EXPECT_EQ(table_of(decoder_), twin_.table()); }
  int faultless() const { return faultless_; }
  uint32_t last_index() const { return decoder_.table().last(); }
  void expect_kept() {
    for (const auto& [head, was] : kept_) EXPECT_EQ(told(head), was);
    kept_.clear();
  }

 private:
  bool cut(std::string_view block, Random* cuts, RequestHead* head) {
    bool first = true;
    for (uint64_t n = cuts && cuts->below(4) == 0 ? cuts->below(8) : 0; n > 0; --n) {
      const size_t size = cuts->below(block.size() + 1);
      if (!decoder_.take(block.substr(0, size), std::exchange(first, false), false, head)) {
        return false;
      }
      block.remove_prefix(size);
    }
    return decoder_.take(block, first, true, head);
  }

  HeaderDecoder decoder_;
  Twin twin_;
  int faultless_ = 0;
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

// An encoder that does whatever may be done, and a little more.
class AnyEncoder {
 public:
  // `wrongs`: one in so many things is wrong.
  AnyEncoder(Random* random, uint64_t wrongs) : random_(*random), wrongs_(wrongs) {}

  // `last`: the highest index that there is.
  std::string block(uint32_t last) {
    std::string out;
    while (one_of(9)) out += resize();
    if (one_of(2)) out += "\x83\x84";
    for (uint64_t n = random_.below(one_of(10) ? 80 : 10); n > 0; --n) out += field(last);
    return one_of(wrongs_) ? mutated(out, random_) : out;
  }

 private:
  static constexpr uint32_t kFirstUsual = 15;  // none of a pseudo-header field

  bool one_of(uint64_t n) { return random_.below(n) == 0; }
  std::string resize() {
    const uint64_t most = one_of(wrongs_) ? 5000 : 4096;
    return hpack_number(0x20, 5, one_of(3) ? random_.below(most + 1) : most);
  }
  size_t index(uint32_t last) {
    if (one_of(wrongs_)) return one_of(2) ? 0 : last + 1;
    if (one_of(wrongs_)) return 1 + random_.below(last);
    return kFirstUsual +
           random_.below(one_of(3) ? last - kFirstUsual + 1 : 52) % (last - kFirstUsual + 1);
  }
  std::string text(std::string_view text) {
    if (one_of(2)) return hpack_text(text);
    static const test::Speller speller;
    static constexpr std::string_view kPaddings[] = {"0", "1111110", "11111111",
                                                     "111111111111111111111111111111"};
    const std::string code =
        one_of(wrongs_) ? speller.code(text, kPaddings[random_.below(4)]) : speller.code(text);
    return hpack_number(0x80, 7, code.size()) + code;
  }
  std::string field(uint32_t last) {
    if (one_of(wrongs_)) return resize();
    if (one_of(2)) return hpack_number(0x80, 7, index(last));
    static constexpr std::pair<uint8_t, int> kSorts[] = {{0x40, 6}, {0x40, 6}, {0, 4}, {0x10, 4}};
    const auto [flags, bits] = kSorts[random_.below(4)];
    const bool by_index = one_of(2);
    std::string out = hpack_number(flags, bits, by_index ? index(last) : 0);
    if (!by_index) out += text("n" + some_text(random_, one_of(wrongs_) ? "aB\xff" : "ab-cd"));
    if (one_of(40)) return out + text(std::string(random_.below(6000), 'v'));
    return out + text(some_text(random_, one_of(wrongs_) ? "\n\x7f x\xff" : "0123 xyz\xc3\xbc<"));
  }

  Random& random_;
  const uint64_t wrongs_;
};

TEST(HeaderDecoderTest, AsNghttp2WhateverIsSent) {
  for_each_seed(600, [](uint64_t seed) {
    SeededRandom random(seed);
    static constexpr uint64_t kWrongs[] = {30, 200, 3000, UINT64_MAX};
    AnyEncoder encoder(&random, kWrongs[seed % 4]);
    Both both(random.below(2) ? kLimit : 1 << 20);
    for (int i = 0; i < 100; ++i) {
      const std::string block = encoder.block(both.last_index());
      if (!(random.below(10) ? both.same(block, &random) : both.passed_over(block))) return;
    }
    // What comes of them is not the same for all.
    EXPECT_GT(both.faultless(), 20);
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
