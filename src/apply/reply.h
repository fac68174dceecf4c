// apply/reply.h
//
// The answer to one replicated request, encoded but for its header: the header's ids and term
// belong to the member that answers and are written by rpc/.

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/parts.h"

namespace keelson::apply {

struct Reply {
  absl::Status status = absl::OkStatus();
  // For the response header; 0 means the store's revision at the time of answering.
  int64_t revision = 0;
  // The response message's fields after `header`, encoded.
  Parts body = {};
  // Of a range: the key-values in the answer, which are not all in `body` yet.
  int64_t shown = 0;
};

}  // namespace keelson::apply
