// net/accept_gate.h
//
// AcceptGate keeps file descriptors back for the store and the log. Connections may use what the
// process is allowed up to a reserve; then listeners stop accepting, and who wants in waits in the
// kernel's queue until somebody leaves. A store that cannot open a file ends the member; a client
// that waits does not.
//
// How it counts: the kernel gives out the lowest free number, so the number that the next
//   descriptor would get says how many are open, whoever opened them.
// Threads: any. Lifetime: outlives the listeners that ask it.

#pragma once

#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"

namespace keelson::net {

class AcceptGate {
 public:
  // At least so many are kept back (etcd's number), and an eighth of a large limit: a large store
  // has many files.
  static constexpr rlim_t kReserve = 150;
  static rlim_t reserve_of(rlim_t limit) { return limit / 8 > kReserve ? limit / 8 : kReserve; }

  // Raises the soft limit of this process to the hard one, as Go's runtime does.
  // Errors: FailedPrecondition when that leaves nothing but the reserve.
  static absl::Status raise_limit();
  // The limit of this process now.
  static rlim_t limit();

  // Whether another connection may be accepted now. `any` is an open descriptor. Logs when the
  // answer changes.
  bool open(int any);

  // Listeners wait now.
  bool shut() const { return shut_.load(std::memory_order_relaxed); }
  // How often it has begun.
  uint64_t times_shut() const { return times_shut_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> shut_{false};
  std::atomic<uint64_t> times_shut_{0};
};

}  // namespace keelson::net
