// Runs the fuzzer's entry point over its corpus, and over random changes of it.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::server {

void fuzz_access_line(std::string_view input);

namespace {

TEST(AccessLineFuzz, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/server/testdata/fuzz_access_line");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_access_line(input);
  for_each_seed({.count = 200}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 20; ++i) {
      std::string input = inputs[random.below(inputs.size())];
      if (input.size() > 1 && random.below(2) == 0) input[1] = static_cast<char>(random.below(256));
      fuzz_access_line(mutated(std::move(input), random));
    }
  });
}

}  // namespace
}  // namespace keelson::server
