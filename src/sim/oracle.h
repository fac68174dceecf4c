// sim/oracle.h
//
// Oracle hears of everything that raft promises about, from all members, and never forgets: who led
// which term, which entry stood behind which other in a leader's log, which entry was applied at
// which index, and what the state was after it.
//
// Checked: two members never lead one term, nor somebody who was removed a later one (election
// safety); an entry's index and term say what it is and what stands before it (log matching); who
// leads a later term has what was applied before (leader completeness); all members have the same
// state at the same index (state-machine safety). What their snapshot files say of an index is the
// same, and the members in one are those that its configuration has. And the cluster's version goes
// back only to one that somebody asked for. Threads: one.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ids.h"
#include "raft/types.h"
#include "sim/violation.h"

namespace keelson::sim {

// What a member's state comes to. The history of the key bucket: all that ever came into it, since
// what a compaction removes goes at each member's own pace. Of everything else: what is there.
struct StateSum {
  uint64_t keys = 0;
  uint64_t rest = 0;
  friend bool operator==(const StateSum&, const StateSum&) = default;
};

class Oracle {
 public:
  explicit Oracle(Verdict& verdict) : verdict_(verdict) {}

  // A change of the cluster's version is committed somewhere; "": there was none before.
  void cluster_version(std::string_view from, std::string_view to);
  // Somebody asked for the cluster to go back to this version; it may.
  void downgrade_asked(const std::string& to) { asked_versions_.insert(to); }
  // Any message between members.
  void sent(const raft::Message& message);
  void leads(MemberId member, Term term);
  // Its removal is applied somewhere.
  void removed(MemberId member);
  // A member has applied all up to `index`, the entry there being of `term`.
  void applied(Index index, Term term, StateSum sum);
  // A member has marked its log there, and left a snapshot file that says so.
  void marked(const raft::Snapshot& mark);
  // REQUIRES: somebody has applied up to there, and no further, before it showed it.
  StateSum sum_at(Index index) const;

  // The member that leads the newest term that anybody led, and the one before it; 0: nobody yet.
  MemberId leader() const { return leader_; }
  Term leader_term() const { return leaders_.empty() ? Term(0) : leaders_.rbegin()->first; }
  MemberId former_leader() const { return former_leader_; }

 private:
  struct Entry {
    uint64_t content = 0;
    Term before;  // the term of the entry ahead of it
  };
  struct Applied {
    Term term;
    Term newest;  // no term was newer when it was applied
    StateSum sum;
  };
  void check_entry(Index index, Term term, Term before, const raft::Entry& entry);
  void check_complete(const raft::Message& append, Index index, Term term);

  Verdict& verdict_;
  Term newest_;
  std::map<Term, MemberId> leaders_;
  MemberId leader_, former_leader_;              // two different ones
  std::map<MemberId, Term> removed_;             // with the newest term at the time
  std::unordered_map<uint64_t, Entry> entries_;  // by term and index
  std::unordered_map<uint64_t, Applied> applied_;
  std::unordered_map<uint64_t, raft::Snapshot> marks_;
  std::set<std::string, std::less<>> asked_versions_;
};

}  // namespace keelson::sim
