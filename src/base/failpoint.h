// base/failpoint.h
//
// Named places in the code where a test, or an operator's drill, makes something go wrong: the
// process dies right there, the thread stalls, or the step reports an error. Off, a failpoint is
// one relaxed load and a branch never taken.
//
//   KEELSON_FAILPOINT("wal_before_sync");                         // may die or stall here
//   if (absl::Status s = KEELSON_FAILPOINT_STATUS("wal_sync"); !s.ok()) return s;  // … or fail
//
// What is armed is read once, before main, from the environment:
//
//   KEELSON_FAILPOINTS="wal_before_sync=crash@17;apply_before=sleep:200;wal_cut_sync=error:28"
//   KEELSON_FAILPOINT_SEED=7
//
//   name=action[:argument][@count][%probability], separated by ';' (or ',')
//   crash        SIGKILL to ourselves: nothing is flushed, no destructor runs
//   exit[:code]  _exit(code), 1 unless given
//   pause        the thread waits until the failpoint is disarmed (a dead disk, a stuck thread)
//   sleep:ms     the thread sleeps (a slow disk)
//   error[:n]    KEELSON_FAILPOINT_STATUS answers errno n (EIO unless given; ENOSPC is
//                ResourceExhausted); KEELSON_FAILPOINT cannot fail and ignores it
//   @17          only on the 17th hit; %0.01 on one hit in a hundred, drawn from the seed
//
// Names: <layer>_<when>_<what>, listed with the layer (docs/formats/wal.md for the log).
// Threads: any. A hit of an armed set takes a lock; this is for tests.

#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace keelson::failpoint {

// Replaces everything armed by `spec` (the grammar above; "" disarms). Threads that are paused go
// on. InvalidArgument names the part that does not parse, and then nothing changes.
absl::Status arm(std::string_view spec, uint64_t seed = 1);
void disarm();

// Whether anything is armed, here or by etcd's names.
bool any_armed();

// How often an armed `name` was passed since it was armed; 0 if it is not armed.
uint64_t hits(std::string_view name);

namespace internal {
extern std::atomic<bool> any_armed;
absl::Status hit(std::string_view name);
// What base/gofail.h has armed has changed.
void note_armed();
}  // namespace internal

}  // namespace keelson::failpoint

// A status: Ok unless an armed error strikes here. `name` is a string literal.
#define KEELSON_FAILPOINT_STATUS(name)                                       \
  (::keelson::failpoint::internal::any_armed.load(std::memory_order_relaxed) \
       ? ::keelson::failpoint::internal::hit(name)                           \
       : ::absl::OkStatus())

// For places that cannot fail, only die or stall.
#define KEELSON_FAILPOINT(name)                                                                 \
  do {                                                                                          \
    if (::keelson::failpoint::internal::any_armed.load(std::memory_order_relaxed)) [[unlikely]] \
      ::keelson::failpoint::internal::hit(name).IgnoreError();                                  \
  } while (false)
