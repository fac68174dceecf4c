// raft/election.h
//
// Elections: who may campaign, how votes are asked for, granted and counted (Raft paper 5.2, 5.4.1;
// thesis 4.2.3, 9.6), and the changes of role that follow.

#pragma once

#include "raft/core.h"

namespace keelson::raft {

enum class Campaign {
  kPreElection,  // asks whether an election could be won
  kElection,
  kTransfer,  // told to by the leader: overrides leases, skips the pre-election
};

void become_follower(Core& core, Term term, MemberId lead);
void become_leader(Core& core);

// The election clock of everyone but the leader.
void tick_election(Core& core);

// Campaigns unless there is a reason not to (logged).
void campaign_if_possible(Core& core, Campaign kind);
void campaign(Core& core, Campaign kind);

// Whether a vote request of a later term must be ignored, because a leader was heard from too
// recently (Raft thesis 4.2.3).
bool ignored_in_lease(const Core& core, const Message& message);
// A MsgVote or MsgPreVote of this term (a pre-vote: or of a later one).
void handle_vote_request(Core& core, const Message& message);
void reject_vote(Core& core, const Message& message);
// The answer to our campaign. REQUIRES: a candidate of the kind that the answer is for.
void handle_vote_response(Core& core, const Message& message);

}  // namespace keelson::raft
