#include "base/errors.h"

#include "absl/strings/str_cat.h"

namespace keelson::errors {

#define KEELSON_DEFINE_ERROR(name, code, text) \
  absl::Status name() { return absl::Status(absl::StatusCode::code, text); }
KEELSON_ETCD_ERRORS(KEELSON_DEFINE_ERROR)
#undef KEELSON_DEFINE_ERROR

absl::Status MessageTooLarge(size_t got, size_t max) {
  return absl::ResourceExhaustedError(
      absl::StrCat("grpc: received message larger than max (", got, " vs. ", max, ")"));
}

}  // namespace keelson::errors
