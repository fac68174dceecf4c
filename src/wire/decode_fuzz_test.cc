// Runs the fuzzer's entry point over testdata/fuzz_decode and over random changes of it.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::wire {

void fuzz_decode(std::string_view input);

namespace {

TEST(DecodeFuzz, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/wire/testdata/fuzz_decode");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_decode(input);
  for_each_seed({.count = 200, .also = {794426748812956015}}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 100; ++i) {
      fuzz_decode(mutated(inputs[random.below(inputs.size())], random));
    }
  });
}

}  // namespace
}  // namespace keelson::wire
