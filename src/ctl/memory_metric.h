// ctl/memory_metric.h
//
// How much memory a server says that it takes: process_resident_memory_bytes of its /metrics.
//
// Threads: any; blocks, with a deadline of its own.

#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "ctl/options.h"

namespace keelson::ctl {

// `endpoint` as in --endpoints: with a scheme, or an address alone (then plaintext).
absl::StatusOr<double> resident_memory(const std::string& endpoint, const TlsFiles& tls);

}  // namespace keelson::ctl
