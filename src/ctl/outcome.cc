#include "ctl/outcome.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "base/text.h"

namespace keelson::ctl {
namespace {

constexpr std::string_view kExitCodeKey = "keelctl/exit-code";
constexpr std::string_view kReportedKey = "keelctl/reported";

void set_code(absl::Status& status, int code) {
  status.SetPayload(to_absl(kExitCodeKey), absl::Cord(cat(code)));
}

}  // namespace

absl::Status failure(ExitCode code, std::string_view text) {
  absl::Status status(absl::StatusCode::kInvalidArgument, to_absl(text));
  set_code(status, static_cast<int>(code));
  return status;
}

absl::Status already_reported(int code) {
  absl::Status status(absl::StatusCode::kUnknown, "reported");
  set_code(status, code);
  status.SetPayload(to_absl(kReportedKey), absl::Cord("1"));
  return status;
}

absl::Status with_exit_code(absl::Status status, ExitCode code) {
  if (!status.ok()) set_code(status, static_cast<int>(code));
  return status;
}

int exit_code_of(const absl::Status& status) {
  if (status.ok()) return static_cast<int>(ExitCode::kSuccess);
  auto payload = status.GetPayload(to_absl(kExitCodeKey));
  int code = static_cast<int>(ExitCode::kError);
  if (payload.has_value() && !absl::SimpleAtoi(std::string(*payload), &code)) code = 1;
  return code;
}

bool is_already_reported(const absl::Status& status) {
  return status.GetPayload(to_absl(kReportedKey)).has_value();
}

}  // namespace keelson::ctl
