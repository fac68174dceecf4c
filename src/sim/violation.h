// sim/violation.h
//
// What a simulation found to be wrong: the first of it counts, and ends the run.
//
// Threads: one.

#pragma once

#include <string>
#include <utility>

namespace keelson::sim {

class Verdict {
 public:
  bool ok() const { return text_.empty(); }
  const std::string& text() const { return text_; }
  void violated(std::string text) {
    if (text_.empty()) text_ = std::move(text);
  }

 private:
  std::string text_;
};

}  // namespace keelson::sim
