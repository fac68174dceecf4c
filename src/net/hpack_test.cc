// HPACK's parts: the code of its texts, its table, what a field may be; and blocks byte by byte
// (testdata/hpack), the RFC's examples among them.

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <deque>
#include <filesystem>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/scenario.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/header_decoder.h"
#include "net/hpack_huffman.h"
#include "net/hpack_table.h"
#include "net/request_field.h"
#include "net/test_hpack.h"

namespace keelson::net {
namespace {

using scenario::Command;
using test::Fields;

// ---- the code

std::optional<std::string> decoded(std::string_view coded) {
  std::string out(most_decoded(coded.size()), '\0');
  const std::optional<size_t> size = decode_huffman(coded, out.data());
  if (!size) return std::nullopt;
  EXPECT_LE(*size, out.size());
  EXPECT_GE(*size, least_decoded(coded.size()));
  out.resize(*size);
  return out;
}

TEST(HuffmanTest, AsNghttp2Spells) {
  const test::Speller speller;
  for (int symbol = 0; symbol < 256; ++symbol) {
    for (size_t times = 0; times < 20; ++times) {
      const std::string text(times, static_cast<char>(symbol));
      ASSERT_EQ(decoded(speller.code(text)), text) << symbol;
    }
  }
  for_each_seed(2000, [&](uint64_t seed) {
    SeededRandom random(seed);
    std::string text;
    for (uint64_t n = random.below(60); n > 0; --n) {
      text.push_back(static_cast<char>(random.below(random.below(4) ? 128 : 256)));
    }
    ASSERT_EQ(decoded(speller.code(text)), text);
  });
}

TEST(HuffmanTest, PaddingIsLessThanAByteOfOnes) {
  const test::Speller speller;
  const std::string eos(30, '1');
  for (const std::string text :
       {"", "e", "ee", "eeee", "eeeeeeeeeeeeeeeeeeeeeee", "\x01", "www.x"}) {
    ASSERT_EQ(decoded(speller.code(text)), text);
    EXPECT_EQ(decoded(speller.code(text) + "\xff"), std::nullopt) << text;
    EXPECT_EQ(decoded(speller.code(text, eos)), std::nullopt) << text;
    if (speller.code(text, "0000000") == speller.code(text)) continue;  // it needs none
    // Zeros are an end of something else.
    EXPECT_NE(decoded(speller.code(text, "0000000")), text) << text;
  }
  EXPECT_EQ(decoded("\xff\xff\xff\xff"), std::nullopt);
  EXPECT_EQ(decoded("\x28"), std::nullopt);  // "e", and three zeros
  EXPECT_EQ(decoded("\x2f"), "e");
}

// Each has its own bytes, at the end of which memory ends.
TEST(HuffmanTest, AnyBytes) {
  for_each_seed(3000, [](uint64_t seed) {
    SeededRandom random(seed);
    std::string coded(random.below(40), '\0');
    for (char& c : coded) c = static_cast<char>(random.below(random.below(3) ? 256 : 2) - 1);
    test::Inflater inflater;
    Fields fields;
    const std::string block = std::string("\0\1x", 3) + static_cast<char>(0x80 | coded.size());
    const bool good = inflater.take(block + coded, &fields);
    const std::optional<std::string> out = decoded(coded);
    ASSERT_EQ(out.has_value(), good);
    if (good) {
      ASSERT_EQ(*out, fields.at(0).second);
    }
  });
}

// ---- the table

TEST(HpackTableTest, AsAList) {
  for_each_seed(300, [](uint64_t seed) {
    SeededRandom random(seed);
    HpackTable table;
    std::deque<std::pair<std::string, std::string>> list;  // the newest first
    size_t limit = HpackTable::kMost;
    auto cut = [&](size_t most) {
      auto cost = [&] {
        size_t out = 0;
        for (const auto& [name, value] : list) out += name.size() + value.size() + 32;
        return out;
      };
      while (cost() > most) list.pop_back();
    };
    for (int i = 0; i < 300; ++i) {
      if (random.below(30) == 0) {
        limit = random.below(3) ? HpackTable::kMost : random.below(HpackTable::kMost + 1);
        table.set_limit(static_cast<uint32_t>(limit));
        cut(limit);
      }
      const size_t longest = random.below(20) ? 30 : 5000;
      std::string name(random.below(longest), static_cast<char>('a' + i % 26));
      const std::string value(random.below(longest), static_cast<char>('A' + i % 26));
      // By a name that the table has, which may have to go.
      const bool by_index = !list.empty() && random.below(2);
      const auto index =
          static_cast<uint32_t>(HpackTable::kStatic + 1 + random.below(list.size() + !by_index));
      if (by_index) name = list[index - HpackTable::kStatic - 1].first;
      table.add(by_index ? table.at(index).name : name, value, static_cast<int8_t>(i % 100));
      const size_t cost = name.size() + value.size() + 32;
      cut(cost > limit ? 0 : limit - cost);
      if (cost <= limit) list.emplace_front(name, value);
      ASSERT_EQ(table.last(), HpackTable::kStatic + list.size());
      for (size_t k = 0; k < list.size(); ++k) {
        const HpackTable::Field field =
            table.at(static_cast<uint32_t>(HpackTable::kStatic + 1 + k));
        ASSERT_EQ(field.name, list[k].first);
        ASSERT_EQ(field.value, list[k].second);
      }
    }
  });
}

// ---- what a field is

TEST(RequestFieldTest, AsNghttp2Checks) {
  auto bytes_of = [](const std::string& text) {
    return reinterpret_cast<const uint8_t*>(text.data());
  };
  auto is_good = [](std::string_view name, std::string_view value) {
    return RequestField::sort(name, value) != RequestField::kWrong;
  };
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t before = 0; before < 20; ++before) {
      const std::string text = std::string(before, 'a') + static_cast<char>(byte) + "bcdefghi";
      const bool good_name = nghttp2_check_header_name(bytes_of(text), text.size());
      EXPECT_EQ(is_good(text, "v"), good_name && text[0] != ':') << byte << " " << before;
      EXPECT_EQ(is_good("n", text), nghttp2_check_header_value(bytes_of(text), text.size()) != 0)
          << byte << " " << before;
    }
  }
  EXPECT_FALSE(is_good("", "v"));
  EXPECT_FALSE(is_good(":", "v"));
  EXPECT_FALSE(is_good("connection", "close"));
  EXPECT_EQ(RequestField::sort(":path", ""), RequestField::kPath);
  EXPECT_EQ(RequestField::sort("grpc-timeout", "1S"), RequestField::kTimeout);
  EXPECT_EQ(RequestField::sort("grpc-timeouts", "1S"), RequestField::kOther);
}

// ---- blocks

std::string shown(std::string_view text) {
  return text.size() < 100 ? std::string(text) : cat(text.substr(0, 3), "... (", text.size(), ")");
}

// A connection's blocks. Commands: `connection limit=N`; `part` and `block` (its last part), of
// hexadecimal digits, text=TEXT, fill=N (so many of the letter v); `passed` for a block of
// nobody's.
class Connection {
 public:
  std::string run(const Command& command) {
    if (command.name == "connection") {
      decoder_.emplace(static_cast<size_t>(command.number("limit", 1 << 20)));
      first_ = true;
      head_.clear();
      return "";
    }
    if (!decoder_) return "none\n";
    const bool last = command.name != "part";
    const bool good = decoder_->take(bytes(command), std::exchange(first_, last), last,
                                     command.name == "passed" ? nullptr : &head_);
    std::string out = good ? "" : "broken\n";
    if (good && last) out = told();
    if (good && !last) out = cat("held: ", decoder_->held(), "\n");
    if (!good) decoder_.reset();
    if (!good || last) head_.clear();
    return out;
  }

 private:
  static std::string bytes(const Command& command) {
    std::string out;
    for (const auto& [word, value] : command.words) {
      if (word == "text") {
        out += value;
      } else if (word == "fill") {
        out.append(std::stoul(value), 'v');
      } else {
        for (size_t i = 0; i < word.size(); i += 2) {
          out.push_back(static_cast<char>(std::stoi(word.substr(i, 2), nullptr, 16)));
        }
      }
    }
    return out;
  }
  std::string told() const {
    static constexpr const char* kNames[] = {":path",         ":method",     ":authority",
                                             ":scheme",       "host",        "content-type",
                                             "grpc-encoding", "grpc-timeout"};
    std::string out;
    if (head_.fault() == RequestHead::Fault::kMalformed) out += "malformed\n";
    if (head_.fault() == RequestHead::Fault::kTooLong) out += "too long\n";
    if (out.empty()) {
      for (int i = 0; i < RequestHead::kKnownCount; ++i) {
        const auto known = static_cast<RequestHead::Known>(i);
        if (head_.has(known)) out += cat(kNames[i], ": ", shown(head_.known(known)), "\n");
      }
      head_.each([&](std::string_view name, std::string_view value) {
        out += cat(shown(name), ": ", shown(value), "\n");
      });
    }
    size_t size = 0;
    std::string table;
    for (uint32_t i = HpackTable::kStatic + 1; i <= decoder_->table().last(); ++i) {
      const HpackTable::Field field = decoder_->table().at(i);
      size += field.name.size() + field.value.size() + HpackTable::kFieldCost;
      table += cat("[", i, "] ", shown(field.name), ": ", shown(field.value), "\n");
    }
    return cat(out, "table: ", size, "\n", table);
  }

  std::optional<HeaderDecoder> decoder_;
  RequestHead head_;
  bool first_ = true;
};

TEST(HpackBlockTest, Scenarios) {
  size_t files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(KEELSON_SOURCE_DIR "/src/net/testdata/hpack")) {
    Connection connection;
    EXPECT_EQ(scenario::run_scenario(file.path().string(),
                                     [&](const Command& c) { return connection.run(c); }),
              "");
    ++files;
  }
  EXPECT_GE(files, 5u);
}

}  // namespace
}  // namespace keelson::net
