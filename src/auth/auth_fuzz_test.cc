// Runs the fuzzers' entry points over their corpora, and over random changes of them.

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::auth {

void fuzz_ranges(std::string_view input);
void fuzz_token(std::string_view input);

namespace {

void run(const char* folder, void (*fuzz)(std::string_view), std::vector<uint64_t> also = {}) {
  const auto inputs = fuzz_corpus(folder);
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz(input);
  for_each_seed({.count = 200, .also = std::move(also)}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 20; ++i) fuzz(mutated(inputs[random.below(inputs.size())], random));
  });
}

TEST(AuthFuzz, Ranges) { run(KEELSON_SOURCE_DIR "/src/auth/testdata/fuzz_ranges", fuzz_ranges); }

TEST(AuthFuzz, RangesOfAnyBytes) {
  for_each_seed({.count = 500}, [](uint64_t seed) {
    SeededRandom random(seed);
    std::string input(1 + random.below(100), '\0');
    for (char& byte : input) byte = static_cast<char>(random.below(256));
    fuzz_ranges(input);
  });
}

TEST(AuthFuzz, Tokens) {
  run(KEELSON_SOURCE_DIR "/src/auth/testdata/fuzz_token", fuzz_token, {610073070639747696});
}

}  // namespace
}  // namespace keelson::auth
