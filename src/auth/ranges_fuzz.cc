// Any grants and any requests, held against the slow way: a grant is the keys it names, one by one.
//
// The first byte says how many grants there are; each takes two bytes, and so does each request
// behind them. A byte is one of the texts of up to two letters out of four.
// Without KEELSON_FUZZER this file is part of the corpus test.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/key_ranges.h"
#include "base/check.h"

namespace keelson::auth {
namespace {

using Named = std::pair<std::string, std::string>;  // a key and a range end

constexpr std::string_view kLetters("\0ab\xff", 4);
constexpr std::string_view kOpenEnd("\0", 1);

// All texts of at most so many letters.
std::vector<std::string> texts(size_t most) {
  std::vector<std::string> out(1);
  for (size_t at = 0; at < out.size(); ++at) {
    if (out[at].size() == most) continue;
    for (char letter : kLetters) out.push_back(out[at] + letter);
  }
  return out;
}

bool names(const Named& named, std::string_view key) {
  const auto& [begin, end] = named;
  if (end.empty()) return key == begin;
  return key >= begin && (end == kOpenEnd || key < end);
}

// What of them has no right answer is another test's; here it must be answered.
bool has_keys(const Named& named) {
  const auto& [begin, end] = named;
  return !begin.empty() && (end.empty() || end == kOpenEnd || begin < end);
}

// Every range begins and ends at one of `keys`, so what is true of them is true in between.
bool covered(const std::vector<Named>& grants, const Named& request,
             const std::vector<std::string>& keys) {
  return std::all_of(keys.begin(), keys.end(), [&](const std::string& key) {
    return !names(request, key) ||
           std::any_of(grants.begin(), grants.end(), [&](const Named& g) { return names(g, key); });
  });
}

}  // namespace

void fuzz_ranges(std::string_view input) {
  static const std::vector<std::string> keys = texts(3), named = texts(2);
  auto take = [&] {
    const size_t number = input.empty() ? 0 : static_cast<uint8_t>(input.front());
    input.remove_prefix(std::min<size_t>(1, input.size()));
    return number;
  };
  auto take_named = [&] {
    const std::string& key = named[take() % named.size()];
    return Named(key, named[take() % named.size()]);
  };
  // What has a right answer has it in every order.
  KeyRanges ranges(GrantOrder::kByEnd), others(GrantOrder::kAsAdded);
  std::vector<Named> grants;
  for (size_t left = take() % 16; left > 0; --left) {
    grants.push_back(take_named());
    ranges.add(grants.back().first, grants.back().second);
    others.add(grants.back().first, grants.back().second);
  }
  ranges.merge();
  others.merge();
  const bool all_have_keys = std::all_of(grants.begin(), grants.end(), has_keys);
  for (int most = 64; most > 0 && !input.empty(); --most) {
    const Named request = take_named();
    const bool covers = ranges.covers(request.first, request.second);
    const bool other = others.covers(request.first, request.second);
    if (!all_have_keys || !has_keys(request)) continue;
    CHECK(covers == covered(grants, request, keys));
    CHECK(other == covers);
  }
}

}  // namespace keelson::auth

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::auth::fuzz_ranges({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
