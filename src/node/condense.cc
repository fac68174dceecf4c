#include "node/condense.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keelson::node {
namespace {

using raft::Message;
using raft::MessageType;

// More entries than that make no message cheaper, and joining goes entry by entry.
constexpr size_t kMostEntries = 256;

// A heartbeat without a context says less than one that confirms reads.
bool take_newer(Message& earlier, Message& later) {
  if (later.context.empty() && !earlier.context.empty()) return false;
  earlier = std::move(later);
  return true;
}

bool take_higher(Message& earlier, Message& later) {
  if (earlier.reject || later.reject) return false;
  if (earlier.index <= later.index) earlier = std::move(later);
  return true;
}

bool follows(const Message& earlier, const Message& later) {
  if (earlier.entries.empty()) {
    return later.index == earlier.index && later.log_term == earlier.log_term;
  }
  const raft::Entry& last = earlier.entries.back();
  return later.index == last.index && later.log_term == last.term;
}

bool join(Message& earlier, Message& later, uint64_t most) {
  if (!follows(earlier, later)) return false;
  if (!earlier.entries.empty() && !later.entries.empty()) {
    if (earlier.entries.size() + later.entries.size() > kMostEntries) return false;
    if (payload_size(earlier.entries) + payload_size(later.entries) > most) return false;
    std::vector<raft::Entry> both(earlier.entries.begin(), earlier.entries.end());
    both.insert(both.end(), later.entries.begin(), later.entries.end());
    earlier.entries = raft::Entries(std::move(both));
  } else if (earlier.entries.empty()) {
    earlier.entries = std::move(later.entries);
  }
  earlier.commit = std::max(earlier.commit, later.commit);
  return true;
}

// True: `earlier` says what `later` does.
bool absorb(Message& earlier, Message& later, uint64_t most) {
  if (earlier.term != later.term || earlier.from != later.from) return false;
  CHECK(earlier.type == later.type);
  CHECK(earlier.to == later.to);
  switch (later.type) {
    case MessageType::kMsgHeartbeat:
    case MessageType::kMsgHeartbeatResp:
      return take_newer(earlier, later);
    case MessageType::kMsgAppResp:
      return take_higher(earlier, later);
    case MessageType::kMsgApp:
      return join(earlier, later, most);
    default:
      return false;
  }
}

}  // namespace

void condense(std::vector<Message>* messages, uint64_t most) {
  if (messages->size() < 2) return;
  // Of each sort and member, where the last one that is kept stands.
  std::vector<size_t> last;
  size_t kept = 0;
  for (Message& message : *messages) {
    auto place = std::find_if(last.begin(), last.end(), [&](size_t at) {
      return (*messages)[at].type == message.type && (*messages)[at].to == message.to;
    });
    if (place != last.end() && absorb((*messages)[*place], message, most)) continue;
    if (place != last.end()) {
      *place = kept;
    } else {
      last.push_back(kept);
    }
    if (&(*messages)[kept] != &message) (*messages)[kept] = std::move(message);
    ++kept;
  }
  messages->resize(kept);
}

}  // namespace keelson::node
