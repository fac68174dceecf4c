// trace/sampler.h
//
// Sampler decides which traces that begin here are kept: a share of them, told by the trace's id
// alone, so that others who keep the same share keep the same traces. A trace that began elsewhere
// has been decided on.
//
// Threads: any; a value.
// Source: OpenTelemetry's Go library v1.43.0, sdk/trace/sampling.go (ParentBased,
//   TraceIDRatioBased); etcd v3.7.1, server/embed/config_tracing.go.

#pragma once

#include <cstdint>

#include "trace/context.h"

namespace keelson::trace {

class Sampler {
 public:
  static constexpr int64_t kMillion = 1'000'000;

  // REQUIRES: 0 <= samples_per_million <= kMillion.
  explicit Sampler(int64_t samples_per_million);

  bool never() const { return bound_ == 0; }
  // Of the id only the lower half counts, without its lowest bit.
  bool keeps(TraceId id) const { return id.low >> 1 < bound_; }

 private:
  uint64_t bound_;  // <= 2^63; all ids are below that
};

}  // namespace keelson::trace
