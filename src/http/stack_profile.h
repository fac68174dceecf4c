// http/stack_profile.h
//
// StackProfile gathers what was counted on stacks, and makes the file of it that pprof and
// `go tool pprof` read: profile.proto, compressed, with the names of functions in it; or a text.
//
// Threads: one caller; encode() and text() read files.

#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace keelson::http {

class StackProfile {
 public:
  struct Kind {
    std::string_view type, unit;  // "cpu", "nanoseconds"
  };
  struct Facts {
    std::vector<Kind> counted;  // what each sample's values are; the last is shown if nobody asks
    Kind period_type;
    int64_t period = 0;
    Duration began{0};  // since the Unix epoch
    Duration lasted{0};
  };

  explicit StackProfile(Facts facts) : facts_(std::move(facts)) {}

  // The innermost first; all but that are addresses to return to. Equal stacks are added up.
  // REQUIRES: one value for each of Facts::counted.
  void add(std::span<const uint64_t> stack, std::span<const int64_t> values);

  // What was counted on no stack, but on something that has a name.
  void add_named(const std::string& name, std::span<const int64_t> values);

  std::string encode() const;

  // The same for people, laid out as Go does under `debug=1`: "name profile: total …", then each
  // stack with what was counted on it, the largest first. Of memory the brackets, where Go tells
  // what was allocated so far, hold 0: that is not known.
  std::string text(std::string_view name) const;

 private:
  using Values = std::vector<int64_t>;
  void sum_up(Values& sum, std::span<const int64_t> values) const;

  Facts facts_;
  std::map<std::vector<uint64_t>, Values> samples_;
  std::map<std::string, Values> named_;
};

}  // namespace keelson::http
