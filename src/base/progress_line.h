// base/progress_line.h
//
// ProgressLine shows on a terminal how far a long job is: one line, written over again and again,
// and taken away at the end. It stays silent for the first two seconds, and where standard error is
// no terminal.
//
// Threads: one caller.

#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "base/size_text.h"
#include "base/text.h"

namespace keelson {

class ProgressLine {
 public:
  enum class Counts { kBytes, kPieces };
  explicit ProgressLine(std::string what, Counts counts = Counts::kBytes, int fd = STDERR_FILENO)
      : what_(std::move(what)), counts_(counts), fd_(::isatty(fd) == 1 ? fd : -1) {}
  ~ProgressLine() {
    if (shown_ > 0) put(cat("\r", std::string(shown_, ' '), "\r"));
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `total` 0: nobody knows.
  void at(uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (fd_ < 0 || now < next_) return;
    next_ = now + std::chrono::milliseconds(200);
    put(text(std::min(done, total == 0 ? done : total), total));
  }

 private:
  static constexpr uint64_t kBar = 30;  // columns

  std::string text(uint64_t done, uint64_t total) {
    std::string line = cat("\r", what_, " ");
    if (total > 0) {
      const uint64_t full = done * kBar / total;
      line += cat("[", std::string(full, '#'), std::string(kBar - full, ' '), "] ",
                  done * 100 / total, "% ");
    }
    line += number(done);
    if (total > 0) line += cat(" of ", number(total));
    const size_t columns = line.size() - 1;
    if (columns < shown_) line.append(shown_ - columns, ' ');
    shown_ = std::max(shown_, columns);
    return line;
  }

  std::string number(uint64_t of) const {
    return counts_ == Counts::kBytes ? size_text(of) : cat(of);
  }

  void put(const std::string& line) {
    [[maybe_unused]] const ssize_t ignored = ::write(fd_, line.data(), line.size());
  }

  const std::string what_;
  const Counts counts_;
  const int fd_;  // -1: no terminal
  std::chrono::steady_clock::time_point next_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(2);
  size_t shown_ = 0;  // columns that are written on
};

}  // namespace keelson
