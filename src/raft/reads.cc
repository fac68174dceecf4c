#include "raft/reads.h"

#include <optional>
#include <utility>

#include "raft/plant.h"
#include "raft/quorum/quorum.h"
#include "raft/replicate.h"

namespace keelson::raft {
namespace {

void answer(Core& core, ReadRequest request, Index index) {
  if (request.from == kNobody || request.from == core.options.id) {
    if (request.entries.empty()) return;
    core.read_states.push_back({index, request.entries[0].data});
    return;
  }
  Message message{.type = MessageType::kMsgReadIndexResp, .to = request.from};
  message.index = index;
  message.entries = std::move(request.entries);
  core.send(std::move(message));
}

// Whoever forwarded it followed us in this term when it did, and the two of us are a quorum: so
// nobody else led before the read was asked for, as little as if the sender had echoed a heartbeat.
bool confirmed_by_sender(const Core& core, MemberId sender, Term named) {
  if (named != core.term) return false;
  const auto follows = [&](MemberId id) -> std::optional<bool> {
    if (id == core.options.id || id == sender) return true;
    return std::nullopt;
  };
  return quorum::vote_result(core.config.voters, follows) == quorum::VoteResult::kWon;
}

void start(Core& core, ReadRequest request) {
  const bool leased = core.options.read_only_option == ReadOnlyOption::kLeaseBased;
  if (leased || planted(Plant::kReadWithoutQuorum)) {
    answer(core, std::move(request), core.log->committed());
    return;
  }
  ReadOnly& reads = core.leader()->reads;
  reads.add(std::move(request), core.log->committed());
  reads.acknowledge(core.options.id, *reads.newest());
  broadcast_heartbeat(core);
}

}  // namespace

void handle_read_index(Core& core, ReadRequest request, Term named) {
  if (core.config.is_singleton() && core.config.voters.contains(core.options.id)) {
    // Nobody else could lead.
    answer(core, std::move(request), core.log->committed());
  } else if (!core.committed_in_term() && !planted(Plant::kReadBeforeFirstCommit)) {
    core.reads_before_first_commit.push_back(std::move(request));
  } else if (confirmed_by_sender(core, request.from, named)) {
    answer(core, std::move(request), core.log->committed());
  } else {
    start(core, std::move(request));
  }
}

void handle_read_acknowledgement(Core& core, Leader& leader, const Message& message) {
  if (core.options.read_only_option != ReadOnlyOption::kSafe) return;
  const std::optional<uint64_t> number = decode_read_number(message.context);
  if (!number) return;
  leader.reads.acknowledge(message.from, *number);
  for (ReadOnly::Pending& read : leader.reads.confirm(core.config.voters)) {
    answer(core, std::move(read.request), read.index);
  }
}

void release_reads(Core& core) {
  if (core.reads_before_first_commit.empty()) return;
  if (!core.committed_in_term()) {
    core.lines.error(
        "pending MsgReadIndex should be released only after first commit in current term");
    return;
  }
  for (ReadRequest& request : std::exchange(core.reads_before_first_commit, {})) {
    start(core, std::move(request));
  }
}

}  // namespace keelson::raft
