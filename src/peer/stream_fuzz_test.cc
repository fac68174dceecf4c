// Runs the fuzzer's entry point over testdata/fuzz_stream and over random changes of it.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::peer {

void fuzz_stream(std::string_view input);

namespace {

TEST(StreamFuzz, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/peer/testdata/fuzz_stream");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_stream(input);
  for_each_seed({.count = 200}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 100; ++i) {
      fuzz_stream(mutated(inputs[random.below(inputs.size())], random));
    }
  });
}

}  // namespace
}  // namespace keelson::peer
