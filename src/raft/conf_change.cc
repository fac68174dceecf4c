#include "raft/conf_change.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/text.h"

namespace keelson::raft {
namespace {

absl::StatusOr<ConfChangeType> type_of_letter(char letter) {
  switch (letter) {
    case 'v':
      return ConfChangeType::kAddNode;
    case 'l':
      return ConfChangeType::kAddLearnerNode;
    case 'r':
      return ConfChangeType::kRemoveNode;
    case 'u':
      return ConfChangeType::kUpdateNode;
    default:
      return absl::InvalidArgumentError("");
  }
}

std::string letter_of(ConfChangeType type) {
  switch (type) {
    case ConfChangeType::kAddNode:
      return "v";
    case ConfChangeType::kAddLearnerNode:
      return "l";
    case ConfChangeType::kRemoveNode:
      return "r";
    case ConfChangeType::kUpdateNode:
      return "u";
  }
  return "unknown";
}

absl::StatusOr<ConfChangeSingle> parse_one(std::string_view token) {
  if (token.size() < 2) return absl::InvalidArgumentError(cat("unknown token ", token));
  absl::StatusOr<ConfChangeType> type = type_of_letter(token[0]);
  if (!type.ok()) return absl::InvalidArgumentError(cat("unknown input: ", token));
  const std::string_view digits = token.substr(1);
  uint64_t id = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (error == std::errc::result_out_of_range) {
    return absl::InvalidArgumentError(
        cat("strconv.ParseUint: parsing \"", digits, "\": value out of range"));
  }
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return absl::InvalidArgumentError(
        cat("strconv.ParseUint: parsing \"", digits, "\": invalid syntax"));
  }
  return ConfChangeSingle{*type, MemberId(id)};
}

}  // namespace

bool ConfChangeV2::leaves_joint() const {
  return transition == ConfChangeTransition::kAuto && changes.empty();
}

std::optional<ConfChangeV2::Joint> ConfChangeV2::enters_joint() const {
  if (transition == ConfChangeTransition::kAuto && changes.size() <= 1) return std::nullopt;
  // An unknown transition of a newer version is left to the application, the safest reading.
  return Joint{.auto_leave = transition == ConfChangeTransition::kAuto ||
                             transition == ConfChangeTransition::kJointImplicit};
}

ConfChangeV2 as_v2(const ConfChange& change) {
  return {.changes = {{change.type, change.node_id}}, .context = change.context};
}

absl::StatusOr<ConfChangeV2> conf_change_of(const Entry& entry) {
  CHECK(is_conf_change(entry.type));
  if (entry.type == EntryType::kConfChangeV2) return decode_conf_change_v2(entry.data.view());
  absl::StatusOr<ConfChange> change = decode_conf_change(entry.data.view());
  if (!change.ok()) return change.status();
  return as_v2(*change);
}

absl::StatusOr<std::vector<ConfChangeSingle>> parse_conf_changes(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  std::vector<ConfChangeSingle> changes;
  if (first == std::string_view::npos) return changes;
  text = text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
  for (bool more = true; more;) {
    const size_t end = text.find(' ');
    absl::StatusOr<ConfChangeSingle> change = parse_one(text.substr(0, end));
    if (!change.ok()) return change.status();
    changes.push_back(*change);
    more = end != std::string_view::npos;
    if (more) text.remove_prefix(end + 1);
  }
  return changes;
}

std::string to_string(const std::vector<ConfChangeSingle>& changes) {
  std::string text;
  for (const ConfChangeSingle& change : changes) {
    absl::StrAppend(&text, text.empty() ? "" : " ", letter_of(change.type), change.node_id.value);
  }
  return text;
}

std::string_view name_of(ConfChangeType type) {
  switch (type) {
    case ConfChangeType::kAddNode:
      return "ConfChangeAddNode";
    case ConfChangeType::kRemoveNode:
      return "ConfChangeRemoveNode";
    case ConfChangeType::kUpdateNode:
      return "ConfChangeUpdateNode";
    case ConfChangeType::kAddLearnerNode:
      return "ConfChangeAddLearnerNode";
  }
  return "ConfChangeUnknown";
}

std::string_view name_of(ConfChangeTransition transition) {
  switch (transition) {
    case ConfChangeTransition::kAuto:
      return "ConfChangeTransitionAuto";
    case ConfChangeTransition::kJointImplicit:
      return "ConfChangeTransitionJointImplicit";
    case ConfChangeTransition::kJointExplicit:
      return "ConfChangeTransitionJointExplicit";
  }
  return "ConfChangeTransitionUnknown";
}

}  // namespace keelson::raft
