#include "trace/sampler.h"

#include "base/check.h"

namespace keelson::trace {

Sampler::Sampler(int64_t samples_per_million) {
  CHECK(samples_per_million >= 0);
  CHECK(samples_per_million <= kMillion);
  const double share = static_cast<double>(samples_per_million) / static_cast<double>(kMillion);
  bound_ = static_cast<uint64_t>(share * 0x1p63);
}

}  // namespace keelson::trace
