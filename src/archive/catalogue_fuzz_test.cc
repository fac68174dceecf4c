// Runs the fuzzer's entry point over its corpus, and over random changes of it.

#include "archive/catalogue_fuzz.h"

#include <gtest/gtest.h>

#include "base/quiet_log.h"
#include "base/test_mutation.h"
#include "base/test_seeds.h"

namespace keelson::archive {
namespace {

TEST(CatalogueFuzz, Corpus) {
  const log::QuietLog quiet;
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/archive/testdata/fuzz_catalogue");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_catalogue(input);
  for_each_seed({.count = 100}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 20; ++i)
      fuzz_catalogue(mutated(inputs[random.below(inputs.size())], random));
  });
}

}  // namespace
}  // namespace keelson::archive
