#include "raft/core.h"

#include <utility>

#include "base/check.h"

namespace keelson::raft {
namespace {

bool is_vote_message(MessageType type) {
  return type == MessageType::kMsgVote || type == MessageType::kMsgVoteResp ||
         type == MessageType::kMsgPreVote || type == MessageType::kMsgPreVoteResp;
}

// Messages that say something about our stable state. Rejections wait too: they are rare, and it
// has not been proven that they need not.
bool is_promise(MessageType type) {
  return type == MessageType::kMsgAppResp || type == MessageType::kMsgVoteResp ||
         type == MessageType::kMsgPreVoteResp;
}

// What the leader treats as its own, so it carries no term.
bool is_forwarded(MessageType type) {
  return type == MessageType::kMsgProp || type == MessageType::kMsgReadIndex;
}

}  // namespace

Core::Core(Config options, std::unique_ptr<Log> log)
    : options(options), lines(options.logger), log(std::move(log)) {}

StateType Core::state() const {
  if (std::holds_alternative<Follower>(role)) return StateType::kFollower;
  if (std::holds_alternative<PreCandidate>(role)) return StateType::kPreCandidate;
  return is_leader() ? StateType::kLeader : StateType::kCandidate;
}

MemberId Core::lead() const {
  if (const Follower* follower = std::get_if<Follower>(&role)) return follower->lead;
  return is_leader() ? options.id : kNobody;
}

bool Core::promotable() const {
  return config.voters.contains(options.id) && !log->unstable().snapshot();
}

bool Core::committed_in_term() const { return log->term(log->committed()) == term; }

void Core::send(Message message) {
  if (message.from == kNobody) message.from = options.id;
  if (is_vote_message(message.type)) {
    // Votes name the term they are about, which for pre-votes is not ours.
    if (message.term == Term(0)) {
      lines.panic("term should be set when sending ", message.type);
      return;
    }
  } else if (message.term != Term(0)) {
    lines.panic("term should not be set when sending ", message.type, " (was ", message.term, ")");
    return;
  } else if (!is_forwarded(message.type)) {
    message.term = term;
  }
  if (is_promise(message.type)) {
    outbox.after_append.push_back(std::move(message));
    return;
  }
  if (message.to == options.id) {
    lines.panic("message should not be self-addressed when sending ", message.type);
    return;
  }
  outbox.now.push_back(std::move(message));
}

void Core::forward(Message message, MemberId to) {
  message.to = to;
  send(std::move(message));
}

void Core::reset(Term new_term) {
  if (term != new_term) {
    term = new_term;
    vote = kNobody;
  }
  election_elapsed = 0;
  randomized_election_timeout =
      options.election_tick + static_cast<int>(options.random->below(options.election_tick));
}

void Core::check_invariants() const {
  log->check_invariants();
  CHECK(election_elapsed >= 0);
  for (MemberId id : config.learners_next) CHECK(config.voters.outgoing.contains(id));
  for (MemberId id : config.learners) CHECK(!config.voters.contains(id));
  if (!config.voters.is_joint()) CHECK(!config.auto_leave);
  if (!config.voters.is_joint()) CHECK(config.learners_next.empty());
  for (const Message& message : outbox.now) CHECK(message.to != options.id);
  const Leader* leading = leader();
  if (!leading) return;
  CHECK(term != Term(0));
  CHECK(leading->heartbeat_elapsed >= 0);
  CHECK(leading->transferee != options.id);
  CHECK(leading->progress.size() == config.members().size());
  for (const auto& [id, progress] : leading->progress) {
    CHECK(config.contains(id));
    CHECK(progress.is_learner() == config.learners.contains(id));
    progress.check_invariants();
  }
}

}  // namespace keelson::raft
