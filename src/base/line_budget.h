// base/line_budget.h
//
// LineBudget bounds what the log says of single requests: clients decide how many such lines there
// are, and how long. So many bytes a second go out, and some at once; of the rest the number of
// lines is told, about once a second.
//
// Threads: any; nothing locks. Who asks at the same moment may be let in together, so what goes out
//   at once may be more by a line of each thread.
// Lifetime: clock and lane outlive its use; what is on the lane has run, or never will, before this
//   goes.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/executor.h"

namespace keelson {

class LineBudget {
 public:
  struct Options {
    int64_t bytes_per_second = 256 << 10;  // > 0
    int64_t bytes_at_once = 512 << 10;     // > 0
  };
  // `lane` is where is told what was left out.
  LineBudget(const Clock& clock, Executor* lane, Options options);
  LineBudget(const Clock& clock, Executor* lane) : LineBudget(clock, lane, Options()) {}

  // Whether a line may be written, to be asked before anything is made for it. One that may not
  // counts as left out.
  bool may_write();
  // A line that was let in is so long, about.
  void written(size_t bytes);

 private:
  Duration price(int64_t bytes) const;
  void leave_out();
  void tell();

  const Clock& clock_;
  Executor& lane_;
  const Options options_;
  // Up to when the seconds' bytes are used up by what was written; in the past: by nothing.
  std::atomic<Duration::rep> used_until_;
  std::atomic<uint64_t> left_out_{0};  // > 0: tell() is on its way
};

// Bytes of a line with a few short fields.
inline constexpr size_t kUsualLine = 300;

// Whether a line of about so many bytes goes out; it is counted as written then. Null: no bound.
inline bool take_line(LineBudget* lines, size_t bytes) {
  if (lines == nullptr) return true;
  if (!lines->may_write()) return false;
  lines->written(bytes);
  return true;
}
// The same in two steps, for a warning that takes long to make: whether it goes out, if the log
// takes warnings at all, and how long it has become.
bool may_warn(LineBudget* lines);
inline void count_line(LineBudget* lines, size_t bytes) {
  if (lines != nullptr) lines->written(bytes);
}

}  // namespace keelson
