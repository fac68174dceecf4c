#include "raft/election.h"

#include <utility>

#include "base/check.h"
#include "raft/plant.h"
#include "raft/propose.h"
#include "raft/replicate.h"
#include "raft/step.h"

namespace keelson::raft {
namespace {

// The context that marks a vote request as ordered by the leader.
constexpr std::string_view kTransferContext = "CampaignTransfer";

MessageType response_type(MessageType request) {
  return request == MessageType::kMsgVote ? MessageType::kMsgVoteResp
                                          : MessageType::kMsgPreVoteResp;
}

void become_candidate(Core& core) {
  CHECK(!core.is_leader());
  core.reset(Term(core.term.value + 1));
  core.vote = core.options.id;
  core.role = Candidate{};
  core.lines.info(core.options.id, " became candidate at term ", core.term);
}

// Changes neither term nor vote.
void become_pre_candidate(Core& core) {
  CHECK(!core.is_leader());
  core.role = PreCandidate{};
  core.lines.info(core.options.id, " became pre-candidate at term ", core.term);
}

// A change of configuration that is committed but not applied might take our vote away.
bool has_unapplied_conf_change(const Core& core) {
  const Log& log = *core.log;
  if (log.applied() >= log.committed()) return false;
  return log.any(log.applied() + 1, log.committed() + 1,
                 [](const Entry& entry) { return is_conf_change(entry.type); });
}

Votes& votes_of(Core& core) {
  if (PreCandidate* pre = std::get_if<PreCandidate>(&core.role)) return pre->votes;
  return std::get<Candidate>(core.role).votes;
}

struct Tally {
  int granted = 0;
  int rejected = 0;
  quorum::VoteResult result;
};

Tally tally(const Core& core, const Votes& votes) {
  Tally tally;
  for (MemberId id : core.config.voters.all()) {
    const std::optional<bool> vote = votes.of(id);
    if (vote) ++(*vote ? tally.granted : tally.rejected);
  }
  tally.result =
      quorum::vote_result(core.config.voters, [&votes](MemberId id) { return votes.of(id); });
  return tally;
}

void log_vote_request(const Core& core, const Message& message, std::string_view verdict) {
  const EntryId last = core.log->last_id();
  core.lines.info(
      core.options.id, " [logterm: ", last.term, ", index: ", last.index, ", vote: ", core.vote,
      "] ", verdict, " ", message.type, verdict == "cast" ? " for " : " from ", message.from,
      " [logterm: ", message.log_term, ", index: ", message.index, "] at term ", core.term);
}

void grant_vote(Core& core, const Message& message) {
  log_vote_request(core, message, "cast");
  // The term of the request, not ours: a pre-candidate is one ahead and would ignore our term.
  core.send({.type = response_type(message.type), .to = message.from, .term = message.term});
  if (message.type == MessageType::kMsgVote) {
    core.election_elapsed = 0;
    core.vote = message.from;
  }
}

// One vote per term, and none against a leader we know; a pre-vote for a later term is no vote.
bool may_vote(const Core& core, const Message& message) {
  if (core.vote == message.from || planted(Plant::kVoteTwice)) return true;
  if (core.vote == kNobody && core.lead() == kNobody) return true;
  return message.type == MessageType::kMsgPreVote && message.term > core.term;
}

}  // namespace

void become_follower(Core& core, Term term, MemberId lead) {
  core.reset(term);
  core.role = Follower{.lead = lead};
  core.lines.info(core.options.id, " became follower at term ", core.term);
}

void become_leader(Core& core) {
  CHECK(core.state() != StateType::kFollower);
  core.reset(core.term);
  const Index last = core.log->last_index();
  Leader leader;
  for (MemberId id : core.config.members()) {
    const bool self = id == core.options.id;
    tracker::Progress& progress =
        leader.progress.put(id, tracker::Progress(self ? last : Index(0), last + 1,
                                                  core.config.learners.contains(id), self));
    if (self) progress.become_replicate(limits_of(core));
  }
  // A change of configuration may lie in the tail. Looking for it would cost a scan; not allowing
  // another before the tail is applied costs nothing.
  leader.pending_conf_index = last;
  core.role = std::move(leader);

  // The empty entry that lets older entries be committed (Raft paper 5.4.2). It has no payload, so
  // no limit refuses it.
  Entry empty;
  CHECK(append_entries(core, std::span(&empty, 1)));
  core.lines.info(core.options.id, " became leader at term ", core.term);
}

void tick_election(Core& core) {
  ++core.election_elapsed;
  if (!core.promotable() || core.election_elapsed < core.randomized_election_timeout) return;
  core.election_elapsed = 0;
  step(core, {.type = MessageType::kMsgHup, .from = core.options.id}).IgnoreError();
}

void campaign_if_possible(Core& core, Campaign kind) {
  const MemberId id = core.options.id;
  if (core.is_leader()) {
    core.lines.debug(id, " ignoring MsgHup because already leader");
  } else if (!core.promotable()) {
    core.lines.warning(id, " is unpromotable and can not campaign");
  } else if (has_unapplied_conf_change(core)) {
    core.lines.warning(id, " cannot campaign at term ", core.term,
                       " since there are still pending configuration changes to apply");
  } else {
    core.lines.info(id, " is starting a new election at term ", core.term);
    campaign(core, kind);
  }
}

void campaign(Core& core, Campaign kind) {
  const bool pre = kind == Campaign::kPreElection;
  if (pre) {
    become_pre_candidate(core);
  } else {
    become_candidate(core);
  }
  // A pre-candidate asks about the term it would campaign in.
  const Term term = pre ? Term(core.term.value + 1) : core.term;
  const MessageType request = pre ? MessageType::kMsgPreVote : MessageType::kMsgVote;
  const EntryId last = core.log->last_id();
  for (MemberId id : core.config.voters.all()) {
    if (id == core.options.id) {
      // Our own vote counts once it is durable.
      core.send({.type = response_type(request), .to = id, .term = term});
      continue;
    }
    core.lines.info(core.options.id, " [logterm: ", last.term, ", index: ", last.index, "] sent ",
                    request, " request to ", id, " at term ", core.term);
    Message message{.type = request, .to = id, .term = term};
    message.index = last.index;
    message.log_term = last.term;
    if (kind == Campaign::kTransfer) message.context = Bytes::copy(kTransferContext);
    core.send(std::move(message));
  }
}

bool ignored_in_lease(const Core& core, const Message& message) {
  const bool in_lease = core.options.check_quorum && core.lead() != kNobody &&
                        core.election_elapsed < core.options.election_tick;
  if (!in_lease || message.context.view() == kTransferContext) return false;
  const EntryId last = core.log->last_id();
  core.lines.info(core.options.id, " [logterm: ", last.term, ", index: ", last.index,
                  ", vote: ", core.vote, "] ignored ", message.type, " from ", message.from,
                  " [logterm: ", message.log_term, ", index: ", message.index, "] at term ",
                  core.term, ": lease is not expired (remaining ticks: ",
                  core.options.election_tick - core.election_elapsed, ")");
  return true;
}

// Learners vote too: one that was promoted may not know yet, and its vote may be needed.
void handle_vote_request(Core& core, const Message& message) {
  const bool complete = core.log->is_up_to_date({message.log_term, message.index}) ||
                        planted(Plant::kVoteForShorterLog);
  if (may_vote(core, message) && complete) {
    grant_vote(core, message);
  } else {
    reject_vote(core, message);
  }
}

void reject_vote(Core& core, const Message& message) {
  log_vote_request(core, message, "rejected");
  core.send(
      {.type = response_type(message.type), .reject = true, .to = message.from, .term = core.term});
}

void handle_vote_response(Core& core, const Message& message) {
  core.lines.info(core.options.id, " received ", message.type,
                  message.reject ? " rejection from " : " from ", message.from, " at term ",
                  core.term);
  Votes& votes = votes_of(core);
  votes.record(message.from, !message.reject);
  const Tally count = tally(core, votes);
  core.lines.info(core.options.id, " has received ", count.granted, " ", message.type,
                  " votes and ", count.rejected, " vote rejections");
  switch (count.result) {
    case quorum::VoteResult::kPending:
      return;
    case quorum::VoteResult::kLost:
      // Our term: a pre-vote's is in the future.
      become_follower(core, core.term, kNobody);
      return;
    case quorum::VoteResult::kWon:
      if (core.state() == StateType::kPreCandidate) {
        campaign(core, Campaign::kElection);
      } else {
        become_leader(core);
        broadcast_append(core);
      }
      return;
  }
}

}  // namespace keelson::raft
