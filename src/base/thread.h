// base/thread.h
//
// Thread is a thread whose stack we have chosen: std::thread takes what the shell's limits say
// (with no limit glibc makes it 2 MB), and how deep a request may nest must not depend on that.
// Memory is taken as it is used.
//
// Threads: made and joined on one thread, but for on_it().
// Failure: a thread that cannot be made ends the process, as a lane without one is none.

#pragma once

#include <pthread.h>

#include <cstddef>

#include "absl/functional/any_invocable.h"

namespace keelson {

// Of every thread that requests are decoded, checked or applied on: requests nest as deep as they
// do in Go, and the deepest takes a quarter of this (apply/decode.h).
inline constexpr size_t kRequestStack = size_t{16} << 20;

class Thread {
 public:
  Thread() = default;  // none
  explicit Thread(absl::AnyInvocable<void()> body, size_t stack = kRequestStack);
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  Thread& operator=(Thread&& other) noexcept;
  ~Thread();  // REQUIRES: !joinable()

  bool joinable() const { return made_; }
  void join();
  // Whether the caller runs on it. Any thread.
  bool on_it() const { return made_ && pthread_equal(pthread_self(), thread_) != 0; }

 private:
  pthread_t thread_{};
  bool made_ = false;
};

}  // namespace keelson
