// Runs the fuzzer's entry point over its corpus, and over random changes of it.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::trace {

void fuzz_context(std::string_view input);

namespace {

TEST(ContextFuzz, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/trace/testdata/fuzz_context");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_context(input);
  for_each_seed({.count = 100}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 20; ++i) fuzz_context(mutated(inputs[random.below(inputs.size())], random));
  });
}

TEST(ContextFuzz, StatesOfPieces) {
  static constexpr std::string_view kPieces[] = {"a",  "b1", "9",  "@", "=",  ",",    " ",   "\t",
                                                 "-_", "*/", "v=", "A", "=x", "\xff", "x y", "~"};
  for_each_seed({.count = 200}, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 50; ++i) {
      std::string input(1, '\0');
      for (uint64_t n = random.below(12); n > 0; --n) {
        input += kPieces[random.below(std::size(kPieces))];
        if (random.below(20) == 0) input += std::string(200 + random.below(100), 'l');
      }
      fuzz_context(input);
    }
  });
}

}  // namespace
}  // namespace keelson::trace
