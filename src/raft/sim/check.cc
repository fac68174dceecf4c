// The simulator's own check_failed(): a CHECK that fails in one seed is that seed's failure, told
// like any other, and the next seed goes on.

#include "base/check.h"

#include "raft/sim/violation.h"

namespace keelson {

void check_failed(const char* file, int line, std::string_view what) {
  raft::sim::violated(std::string_view(file), ":", line, ": CHECK failed: ", what);
}

}  // namespace keelson
