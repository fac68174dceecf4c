#include "node/received.h"

#include <algorithm>

#include "raft/conf_change.h"

namespace keelson::node {
namespace {

using raft::MessageType;

bool is_readable(const raft::Entry& entry) {
  if (entry.type == raft::EntryType::kNormal) return true;
  return raft::is_conf_change(entry.type) && raft::conf_change_of(entry).ok();
}

}  // namespace

std::string_view reason_to_drop(const raft::Message& message, MemberId self) {
  if (message.type == MessageType::kMsgSnap) return "a snapshot came without its state";
  // What was forwarded may come home; all else that names this member, or its disk, is forged.
  if (raft::is_local_target(message.from) ||
      (message.from == self && raft::is_of_a_term(message.type))) {
    return "it is in this member's own name";
  }
  if (message.type != MessageType::kMsgProp) return "";
  if (message.term != Term(0)) return "a proposal has no term";
  if (message.entries.empty()) return "it proposes nothing";
  const bool readable = std::all_of(message.entries.begin(), message.entries.end(), is_readable);
  return readable ? "" : "it proposes a membership change that cannot be read";
}

}  // namespace keelson::node
