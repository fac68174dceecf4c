#include "raft/status.h"

#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace keelson::raft {

std::string to_json(const Status& status) {
  const HardState& hard = status.hard_state;
  std::string text = cat(
      "{\"id\":\"", absl::Hex(status.id.value), "\",\"term\":", hard.term.value, ",\"vote\":\"",
      absl::Hex(hard.vote.value), "\",\"commit\":", hard.commit.value, ",\"lead\":\"",
      absl::Hex(status.soft_state.lead.value), "\",\"raftState\":\"",
      name_of(status.soft_state.state), "\",\"applied\":", status.applied.value, ",\"progress\":{");
  std::string_view comma = "";
  for (const auto& [id, progress] : status.progress) {
    text += cat(comma, "\"", absl::Hex(id.value), "\":{\"match\":", progress.match().value,
                ",\"next\":", progress.next().value, ",\"state\":\"", progress.state_name(), "\"}");
    comma = ",";
  }
  text += cat("},\"leadtransferee\":\"", absl::Hex(status.lead_transferee.value), "\"}");
  return text;
}

}  // namespace keelson::raft
