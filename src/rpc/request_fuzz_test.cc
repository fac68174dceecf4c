// Runs the fuzzer's entry point over testdata/fuzz_requests and over random changes of it.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::rpc {

void fuzz_requests(std::string_view input);

namespace {

TEST(RequestFuzz, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/rpc/testdata/fuzz_requests");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_requests(input);
  for_each_seed({.count = 100}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 30; ++i) {
      fuzz_requests(mutated(inputs[random.below(inputs.size())], random));
    }
  });
}

}  // namespace
}  // namespace keelson::rpc
