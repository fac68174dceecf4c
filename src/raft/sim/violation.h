// raft/sim/violation.h
//
// What ends a simulated run: a broken promise, as a sentence. Thrown anywhere below World::run();
// CHECKs inside raft end here too (sim/check.cc).

#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "base/text.h"

namespace keelson::raft::sim {

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Parts>
[[noreturn]] void violated(const Parts&... parts) {
  throw Violation(cat(parts...));
}

}  // namespace keelson::raft::sim
