// Hashes with a key.

#include "base/keyed_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace keelson {
namespace {

// Of the authors' test vectors.
TEST(KeyedHash, IsSipHash) {
  const HashKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::string bytes;
  EXPECT_EQ(keyed_hash(key, bytes), 0x726fdb47dd0e0e31u);
  while (bytes.size() < 15) bytes += static_cast<char>(bytes.size());
  EXPECT_EQ(keyed_hash(key, bytes), 0xa129ca6149be45e5u);
}

TEST(KeyedHash, AKeyIsNeverTheSame) { EXPECT_NE(random_hash_key(), random_hash_key()); }

}  // namespace
}  // namespace keelson
