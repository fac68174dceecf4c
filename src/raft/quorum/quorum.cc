#include "raft/quorum/quorum.h"

#include "absl/strings/str_cat.h"

namespace keelson::raft::quorum {

IdSet::IdSet(std::initializer_list<MemberId> ids) : IdSet(std::vector<MemberId>(ids)) {}

IdSet::IdSet(const std::vector<MemberId>& ids) : ids_(ids) {
  std::sort(ids_.begin(), ids_.end());
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
}

void IdSet::insert(MemberId id) {
  auto at = std::lower_bound(ids_.begin(), ids_.end(), id);
  if (at == ids_.end() || *at != id) ids_.insert(at, id);
}

void IdSet::erase(MemberId id) {
  auto at = std::lower_bound(ids_.begin(), ids_.end(), id);
  if (at != ids_.end() && *at == id) ids_.erase(at);
}

std::string to_string(const IdSet& ids) {
  std::string text = "(";
  for (MemberId id : ids) {
    absl::StrAppend(&text, text.size() > 1 ? " " : "", absl::Hex(id.value));
  }
  return text + ")";
}

std::string to_string(Index index) { return index == kInfinity ? "∞" : absl::StrCat(index.value); }

std::string_view name_of(VoteResult result) {
  switch (result) {
    case VoteResult::kPending:
      return "VotePending";
    case VoteResult::kLost:
      return "VoteLost";
    case VoteResult::kWon:
      return "VoteWon";
  }
  return "VoteUnknown";
}

IdSet Joint::all() const {
  IdSet all = incoming;
  for (MemberId id : outgoing) all.insert(id);
  return all;
}

std::string to_string(const Joint& voters) {
  std::string text = to_string(voters.incoming);
  if (voters.is_joint()) text += "&&" + to_string(voters.outgoing);
  return text;
}

}  // namespace keelson::raft::quorum
