// base/time_text.h
//
// Times and durations in the spelling of etcd's log lines: what Go's time.Duration prints, and the
// layout that etcd gives its logger.
//
// Threads: pure functions (timestamp_text reads the process's time zone).

#pragma once

#include <string>

#include "base/clock.h"

namespace keelson {

// 1m0s, 300ms, 1.5µs, 0s.
std::string duration_text(Duration duration);

// 2006-01-02T15:04:05.000000Z, or with the zone's offset (+0100) in place of Z.
std::string timestamp_text(Duration unix_time);

}  // namespace keelson
