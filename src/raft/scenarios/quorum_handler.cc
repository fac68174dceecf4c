#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/text.h"
#include "raft/quorum/quorum.h"
#include "raft/scenarios/handlers.h"

namespace keelson::raft::scenarios {
namespace {

using quorum::IdSet;
using quorum::Joint;

// What the arguments say. Values are indexes, or votes as 1 (no) and 2 (yes); 0 is "unknown".
struct Question {
  std::vector<MemberId> ids;
  std::vector<MemberId> ids_outgoing;
  bool joint = false;
  std::vector<uint64_t> values;
};

using Values = std::map<MemberId, uint64_t>;

absl::Status add_id(const std::string& text, std::vector<MemberId>* ids) {
  absl::StatusOr<uint64_t> id = parse_number(text);
  if (!id.ok()) return id.status();
  ids->push_back(MemberId(*id));
  return absl::OkStatus();
}

absl::Status add_index(const std::string& text, std::vector<uint64_t>* values) {
  if (text == "_") {
    values->push_back(0);
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> index = parse_number(text);
  if (!index.ok()) return index.status();
  if (*index == 0) return absl::InvalidArgumentError("cannot use 0 as idx");
  values->push_back(*index);
  return absl::OkStatus();
}

absl::Status add_vote(const std::string& text, std::vector<uint64_t>* values) {
  if (text != "y" && text != "n" && text != "_") {
    return absl::InvalidArgumentError(cat("unknown vote: ", text));
  }
  values->push_back(text == "y" ? 2 : text == "n" ? 1 : 0);
  return absl::OkStatus();
}

absl::Status add(const std::string& key, const std::string& text, Question* question) {
  if (key == "cfg") return add_id(text, &question->ids);
  if (key == "cfgj") {
    question->joint = true;
    return text == "zero" ? absl::OkStatus() : add_id(text, &question->ids_outgoing);
  }
  if (key == "idx") return add_index(text, &question->values);
  if (key == "votes") return add_vote(text, &question->values);
  return absl::InvalidArgumentError(cat("unknown arg ", key));
}

absl::StatusOr<Question> parse(const Command& command) {
  Question question;
  for (const Argument& argument : command.arguments) {
    for (const std::string& value : argument.values) {
      absl::Status status = add(argument.key, value, &question);
      if (!status.ok()) return status;
    }
  }
  return question;
}

// The values in the order in which the members are named, each member once.
Values assign(const Question& question) {
  Values values;
  std::vector<MemberId> order = question.ids;
  order.insert(order.end(), question.ids_outgoing.begin(), question.ids_outgoing.end());
  size_t next = 0;
  std::vector<MemberId> seen;
  for (MemberId id : order) {
    if (std::find(seen.begin(), seen.end(), id) != seen.end()) continue;
    seen.push_back(id);
    if (next < question.values.size() && question.values[next] != 0) {
      values[id] = question.values[next];
    }
    ++next;
  }
  return values;
}

auto acked(const Values& values) {
  return [&values](MemberId id) -> std::optional<Index> {
    auto found = values.find(id);
    return found == values.end() ? std::nullopt : std::optional(Index(found->second));
  };
}

// A picture of the indexes: the longer the bar, the more members are behind.
std::string picture(const IdSet& voters, const Values& values) {
  if (voters.empty()) return "<empty majority quorum>";
  const size_t n = voters.size();
  std::vector<std::pair<uint64_t, MemberId>> by_index;
  for (MemberId id : voters) {
    auto found = values.find(id);
    by_index.emplace_back(found == values.end() ? 0 : found->second, id);
  }
  std::sort(by_index.begin(), by_index.end());
  std::map<MemberId, size_t> bars;
  for (size_t i = 0; i < n; ++i) {
    const bool same = i > 0 && by_index[i - 1].first == by_index[i].first;
    bars[by_index[i].second] = same ? bars[by_index[i - 1].second] : i;
  }
  std::string text = std::string(n, ' ') + "    idx\n";
  for (MemberId id : voters) {
    auto found = values.find(id);
    const size_t bar = bars[id];
    text += found == values.end() ? "?" + std::string(n, ' ')
                                  : std::string(bar, 'x') + ">" + std::string(n - bar, ' ');
    const std::string index = absl::StrCat(found == values.end() ? 0 : found->second);
    text += cat(" ", std::string(index.size() < 5 ? 5 - index.size() : 0, ' '), index,
                "    (id=", absl::Hex(id.value), ")\n");
  }
  return text;
}

// The same by another road: the highest value that a majority reaches.
Index slow_committed(const IdSet& voters, const Values& values) {
  if (voters.empty()) return quorum::kInfinity;
  uint64_t best = 0;
  for (const auto& [unused, candidate] : values) {
    size_t reach = 0;
    for (MemberId id : voters) {
      auto found = values.find(id);
      if (found != values.end() && found->second >= candidate) ++reach;
    }
    if (reach >= voters.size() / 2 + 1) best = std::max(best, candidate);
  }
  return Index(best);
}

// Lowering a member that is below the result already must not change it.
std::string check_lowering(const IdSet& voters, const Values& values, Index result) {
  std::string text;
  for (MemberId id : voters) {
    auto found = values.find(id);
    if (found == values.end() || found->second >= result.value) continue;
    for (uint64_t lower : {found->second - 1, uint64_t{0}}) {
      Values changed = values;
      changed[id] = lower;
      const Index other = quorum::committed_index(voters, acked(changed));
      if (other == result) continue;
      text += cat(quorum::to_string(other), " <-- overlaying ", id.value, "->",
                  lower == 0 ? 0 : found->second);
    }
  }
  return text;
}

std::string majority_committed(const IdSet& voters, const Values& values) {
  std::string text = picture(voters, values);
  const Index result = quorum::committed_index(voters, acked(values));
  auto compare = [&](Index other, std::string_view how) {
    if (other != result) text += cat(quorum::to_string(other), " <-- via ", how, "\n");
  };
  compare(slow_committed(voters, values), "alternative computation");
  compare(quorum::committed_index(Joint{voters, {}}, acked(values)), "zero-joint quorum");
  compare(quorum::committed_index(Joint{voters, voters}, acked(values)), "self-joint quorum");
  text += check_lowering(voters, values, result);
  return text + quorum::to_string(result) + "\n";
}

std::string joint_committed(const Joint& voters, const Values& values) {
  std::string text = picture(voters.all(), values);
  const Index result = quorum::committed_index(voters, acked(values));
  const Index swapped =
      quorum::committed_index(Joint{voters.outgoing, voters.incoming}, acked(values));
  if (swapped != result) text += quorum::to_string(swapped) + " <-- via symmetry\n";
  return text + quorum::to_string(result) + "\n";
}

std::string vote(const Joint& voters, bool joint, const Values& values) {
  auto votes = [&values](MemberId id) -> std::optional<bool> {
    auto found = values.find(id);
    return found == values.end() ? std::nullopt : std::optional(found->second == 2);
  };
  if (!joint) return cat(name_of(quorum::vote_result(voters.incoming, votes)), "\n");
  const quorum::VoteResult result = quorum::vote_result(voters, votes);
  const quorum::VoteResult swapped =
      quorum::vote_result(Joint{voters.outgoing, voters.incoming}, votes);
  std::string text;
  if (swapped != result) text += cat(name_of(swapped), " <-- via symmetry\n");
  return text + cat(name_of(result), "\n");
}

std::string list(const std::vector<uint64_t>& values) {
  std::string text = "[";
  for (uint64_t value : values) text += cat(text.size() > 1 ? " " : "", value);
  return text + "]";
}

std::string member_map(const IdSet& voters) {
  std::string text = "map[";
  for (MemberId id : voters) text += cat(text.size() > 4 ? " " : "", id.value, ":{}");
  return text + "]";
}

absl::StatusOr<std::string> run(const Command& command) {
  absl::StatusOr<Question> question = parse(command);
  if (!question.ok()) return question.status();
  const Joint voters{IdSet(question->ids), IdSet(question->ids_outgoing)};
  if (voters.all().size() != question->values.size()) {
    return cat("error: mismatched input (explicit or _) for voters ", member_map(voters.all()),
               ": ", list(question->values));
  }
  const Values values = assign(*question);
  if (command.name == "committed") {
    return question->joint ? joint_committed(voters, values)
                           : majority_committed(voters.incoming, values);
  }
  if (command.name == "vote") return vote(voters, question->joint, values);
  return absl::InvalidArgumentError(cat("unknown command: ", command.name));
}

}  // namespace

Handler quorum_handler() { return run; }

}  // namespace keelson::raft::scenarios
