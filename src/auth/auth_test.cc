// Ranges, passwords, encodings and sorting, each against known answers.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "auth/base64.h"
#include "auth/go_sort.h"
#include "auth/key_ranges.h"
#include "auth/password.h"
#include "auth/shared_map.h"

namespace keelson::auth {
namespace {

using namespace std::string_literals;

KeyRanges ranges(const std::vector<std::pair<std::string, std::string>>& grants) {
  KeyRanges out;
  for (const auto& [key, end] : grants) out.add(key, end);
  out.merge();
  return out;
}

TEST(KeyRanges, CoverWhatTheGrantsTogetherCover) {
  KeyRanges some = ranges({{"b", "d"}, {"d", "f"}, {"k", ""}, {"k\0"s, "m"}});
  EXPECT_TRUE(some.covers("b", ""));
  EXPECT_TRUE(some.covers("b", "f"));
  EXPECT_FALSE(some.covers("b", "f\0"s));
  EXPECT_FALSE(some.covers("a", "c"));
  EXPECT_FALSE(some.covers("f", ""));
  EXPECT_TRUE(some.covers("k", "m"));
  EXPECT_TRUE(some.covers("k", ""));
  EXPECT_FALSE(some.covers("b", "k"));
  EXPECT_FALSE(some.covers("b", "\0"s));
  EXPECT_FALSE(some.covers("", ""));
  EXPECT_FALSE(KeyRanges().covers("a", ""));
}

TEST(KeyRanges, OpenEndsCoverOpenEnds) {
  KeyRanges from = ranges({{"m", "\0"s}, {"x", "z"}});
  EXPECT_TRUE(from.covers("m", "\0"s));
  EXPECT_TRUE(from.covers("\xff\xff", ""));
  EXPECT_TRUE(from.covers("n", "\xff\xff\xff"));
  EXPECT_FALSE(from.covers("l", "\0"s));
  KeyRanges all = ranges({{"\0"s, "\0"s}});
  EXPECT_TRUE(all.covers("\0"s, "\0"s));
  EXPECT_TRUE(all.covers("a", "b"));
  EXPECT_FALSE(ranges({{"a", "\xff"}}).covers("a", "\0"s));
}

TEST(SharedMap, CopiesKeepWhatTheyHad) {
  SharedMap<int, 4> map;
  for (int i = 0; i < 100; ++i) map.set("k" + std::to_string(i), i);
  const SharedMap<int, 4> before = map;
  map.share();
  for (int i = 0; i < 100; ++i) map.set("k" + std::to_string(i), -i);
  map.erase("k7");
  map.erase("nobody");
  map.erase_if([](int value) { return value < -50; });
  EXPECT_EQ(map.find("k7"), nullptr);
  EXPECT_EQ(*map.find("k50"), -50);
  EXPECT_EQ(map.find("k51"), nullptr);
  EXPECT_EQ(map.size(), 50u);
  EXPECT_EQ(before.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*before.find("k" + std::to_string(i)), i);
}

// Made by Go's bcrypt through etcd 3.5, and published vectors of the algorithm.
TEST(Password, HashesAreGos) {
  EXPECT_TRUE(
      password_matches("$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga", "allmine"));
  EXPECT_TRUE(
      password_matches("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"));
  EXPECT_FALSE(
      password_matches("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*V"));
  // What libcrypt's own "$2a$" answers otherwise: bytes over 127 in certain places.
  EXPECT_TRUE(password_matches("$2a$05$/OK.fbVrR/bpIqNJ5ianF.nRht2l/HRhr6zmCp9vYUvvsqynflf9e",
                               "\xff\xa3"
                               "345"));
  EXPECT_FALSE(password_matches("", ""));
  EXPECT_FALSE(password_matches("$2a$05$tooshort", "x"));
}

TEST(Password, OwnHashesMatchAndOthersDoNot) {
  for (std::string password : {"", "a", "correct horse", "\xff\xff"}) {
    absl::StatusOr<std::string> hash = hash_password(password, 4);
    ASSERT_TRUE(hash.ok());
    EXPECT_EQ(hash->substr(0, 7), "$2a$04$");
    EXPECT_TRUE(password_matches(*hash, password));
    EXPECT_FALSE(password_matches(*hash, password + "x"));
    EXPECT_NE(*hash, *hash_password(password, 4));
  }
  EXPECT_EQ(hash_password(std::string(73, 'x'), 4).status().message(),
            "bcrypt: password length exceeds 72 bytes");
  EXPECT_TRUE(hash_password(std::string(72, 'x'), 4).ok());
}

// libcrypt ends at a zero byte: what stands behind it must not be forgotten.
TEST(Password, AZeroByteEndsNothing) {
  absl::StatusOr<std::string> hash = hash_password("a", 4);
  ASSERT_TRUE(hash.ok());
  EXPECT_FALSE(password_matches(*hash, "a\0b"s));
  EXPECT_FALSE(password_matches(*hash, "a\0"s));
  EXPECT_FALSE(hash_password("a\0b"s, 4).ok());
}

TEST(Base64, IsGos) {
  std::string out;
  EXPECT_TRUE(decode_base64("", &out) && out.empty());
  EXPECT_TRUE(decode_base64("YWJj", &out) && out == "abc");
  EXPECT_TRUE(decode_base64("YW\r\nI=", &out) && out == "ab");
  EXPECT_TRUE(decode_base64("YR==", &out) && out == "a");  // spare bits
  for (const char* bad : {"Y", "YQ", "YQ=", "YQ===", "=", "====", "YWJj YWJj", "YW-_", "Y=Jj"}) {
    EXPECT_FALSE(decode_base64(bad, &out)) << bad;
  }
  EXPECT_TRUE(decode_base64_url("YW-_", &out) && out == "ao\xbf");
  EXPECT_FALSE(decode_base64_url("YQ==", &out));
  EXPECT_EQ(encode_base64("ab"), "YWI=");
  EXPECT_EQ(encode_base64_url("\xfb\xff"), "-_8");
}

TEST(GoSort, Sorts) {
  for (int n : {0, 1, 5, 12, 13, 30, 49, 50, 200, 1000}) {
    for (uint64_t seed = 1; seed < 20; ++seed) {
      std::vector<uint64_t> values;
      for (int i = 0; i < n; ++i) values.push_back(seed * (i + 7919) * 2654435761u % (seed + 3));
      std::vector<uint64_t> expected = values;
      std::sort(expected.begin(), expected.end());
      go_sort(
          n, [&](int a, int b) { return values[a] < values[b]; },
          [&](int a, int b) { std::swap(values[a], values[b]); });
      EXPECT_EQ(values, expected);
    }
  }
}

}  // namespace
}  // namespace keelson::auth
