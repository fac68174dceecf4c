// Runs the fuzzers' entry points over testdata/fuzz_* and over random changes of it, so that every
// build exercises them.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::net {

void fuzz_http1(std::string_view input);
void fuzz_http2(std::string_view input);

namespace {

using Entry = void (*)(std::string_view);

std::vector<std::string> corpus(const std::string& name) {
  std::vector<std::string> inputs;
  std::filesystem::path folder =
      std::filesystem::path(KEELSON_SOURCE_DIR) / "src/net/testdata" / name;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(file.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

std::string changed(std::string input, SeededRandom& random) {
  for (uint64_t n = random.below(6); n > 0 && !input.empty(); --n) {
    size_t at = random.below(input.size());
    switch (random.below(4)) {
      case 0:
        input[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        input.erase(at, 1 + random.below(10));
        break;
      case 2:
        input.insert(at, 1, static_cast<char>(random.below(256)));
        break;
      default:
        input.insert(at, input.substr(random.below(input.size()), 60));
        break;
    }
  }
  return input;
}

void run(Entry entry, const std::string& name) {
  auto inputs = corpus(name);
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) entry(input);
  for_each_seed({.count = 100, .also = {119633229584744905, 119633229584755489}},
                [&](uint64_t seed) {
                  SeededRandom random(seed);
                  for (int i = 0; i < 30; ++i)
                    entry(changed(inputs[random.below(inputs.size())], random));
                });
}

TEST(FuzzCorpusTest, Http1) { run(fuzz_http1, "fuzz_http1"); }
TEST(FuzzCorpusTest, Http2) { run(fuzz_http2, "fuzz_http2"); }

}  // namespace
}  // namespace keelson::net
