// base/test_mutation.h
//
// Small random changes of an input, for tests that run a fuzzer's entry point without a fuzzer.

#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"

namespace keelson {

// The files in a folder of the repository; empty when there is no such folder.
inline std::vector<std::string> fuzz_corpus(const std::string& folder) {
  std::vector<std::string> inputs;
  std::error_code none;
  for (const auto& file : std::filesystem::directory_iterator(folder, none)) {
    std::ifstream in(file.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

// Up to five bytes changed, taken out, put in, or doubled.
inline std::string mutated(std::string input, Random& random) {
  for (uint64_t n = random.below(6); n > 0 && !input.empty(); --n) {
    const size_t at = random.below(input.size());
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

}  // namespace keelson
