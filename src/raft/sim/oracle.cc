#include "raft/sim/oracle.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "raft/describe.h"
#include "raft/sim/violation.h"

namespace keelson::raft::sim {
namespace {

uint64_t state_data(const Bytes& data) {
  CHECK(data.size() == 8);
  return load_big64(data.data());
}

}  // namespace

Oracle::Oracle(const ConfState& conf) {
  truth_.resize(2);
  truth_[1] = {{Term(1), 0}, Term(1), 1};
  confs_.emplace_back(Index(1), conf);
}

void Oracle::leads(MemberId id, Term term, const LogView& log) {
  if (leaders_.size() <= term.value) leaders_.resize(term.value + 1);
  MemberId& leader = leaders_[term.value];
  if (leader == id) return;
  if (leader != kNobody) {
    violated("election safety: ", leader.value, " and ", id.value, " both lead term ", term.value);
  }
  leader = id;
  ++elections_;
  for (uint64_t i = log.base().value + 1; i < truth_.size(); ++i) {
    const Truth& truth = truth_[i];
    if (truth.known_in >= term) continue;
    if (Index(i) > log.last() || log.at(Index(i)) != truth.id) {
      violated("leader completeness: ", id.value, " leads term ", term.value, " without entry ", i,
               " of term ", truth.id.term.value, ", committed in term ", truth.known_in.value);
    }
  }
}

void Oracle::holds(const Entry& entry, Term before) {
  const uint64_t index = entry.index.value;
  if (entry.term < before) {
    violated("log: entry ", index, " of term ", entry.term.value, " follows term ", before.value);
  }
  if (seen_.size() <= index) seen_.resize(index + 1);
  const LogId id{entry.term, content_of(entry)};
  for (const Seen& seen : seen_[index]) {
    if (seen.id.term != entry.term) continue;
    if (seen.id != id || seen.before != before) {
      violated("log matching: two entries ", index, " of term ", entry.term.value);
    }
    return;
  }
  seen_[index].push_back({id, before});
}

void Oracle::committed(MemberId id, Term term, const LogView& log, Index from, Index to) {
  if (to > log.last()) {
    violated(id.value, " commits up to ", to.value, ", past its last entry ", log.last().value);
  }
  for (Index index = std::max(from, log.base()) + 1; index <= to; ++index) {
    commit(id, term, index, log.at(index));
  }
}

void Oracle::commit(MemberId id, Term term, Index index, LogId entry) {
  if (index.value == truth_.size()) {
    truth_.push_back({entry, term, mix(mix(truth_.back().state, entry.term.value), entry.content)});
    return;
  }
  if (index.value > truth_.size()) {
    violated(id.value, " commits ", index.value, " before anyone committed ", truth_.size());
  }
  if (truth_[index.value].id != entry) {
    violated("state-machine safety: ", id.value, " commits entry ", index.value, " of term ",
             entry.term.value, ", but that of term ", truth_[index.value].id.term.value,
             " was committed");
  }
}

void Oracle::applied(MemberId id, const Entry& entry) {
  if (entry.index > last()) {
    violated(id.value, " applies ", entry.index.value, ", which nobody committed");
  }
  if (truth_[entry.index.value].id != LogId{entry.term, content_of(entry)}) {
    violated("state-machine safety: ", id.value, " applies another entry ", entry.index.value);
  }
  acknowledged_ = std::max(acknowledged_, entry.index);
}

void Oracle::configured(MemberId id, Index index, const ConfState& conf) {
  if (index > confs_.back().first) {
    confs_.emplace_back(index, conf);
    return;
  }
  auto at = std::lower_bound(confs_.begin(), confs_.end(), index,
                             [](const auto& one, Index i) { return one.first < i; });
  if (at->first != index || at->second != conf) {
    violated("state-machine safety: ", id.value, " has configuration ", describe(conf),
             " after entry ", index.value, ", others have ", describe(at->second));
  }
}

void Oracle::snapshot(MemberId id, const Snapshot& snapshot) {
  const SnapshotMetadata& meta = snapshot.metadata;
  if (meta.index > last()) violated(id.value, " has a snapshot of what nobody committed");
  const Truth& truth = truth_[meta.index.value];
  if (truth.id.term != meta.term || truth.state != state_data(snapshot.data)) {
    violated("state-machine safety: ", id.value, " restores another state at ", meta.index.value);
  }
  auto after = std::upper_bound(confs_.begin(), confs_.end(), meta.index,
                                [](Index i, const auto& one) { return i < one.first; });
  if (!equivalent(std::prev(after)->second, meta.conf_state)) {
    violated("state-machine safety: ", id.value, " restores another configuration at ",
             meta.index.value);
  }
  acknowledged_ = std::max(acknowledged_, meta.index);
}

Oracle::Promise& Oracle::promise(MemberId id) {
  if (promises_.size() <= id.value) promises_.resize(id.value + 1);
  return promises_[id.value];
}

void Oracle::votes(MemberId id, Term term, MemberId candidate) {
  promised(id, term, Index(0));
  for (const auto& [voted_in, voted_for] : promise(id).votes) {
    if (voted_in != term) continue;
    if (voted_for == candidate) return;
    violated("durable votes: ", id.value, " votes for ", voted_for.value, " and for ",
             candidate.value, " in term ", term.value);
  }
  promise(id).votes.emplace_back(term, candidate);
}

void Oracle::promised(MemberId id, Term term, Index index) {
  Promise& made = promise(id);
  if (term < made.term) return;  // a delayed promise of an earlier term
  if (term > made.term) made.index = Index(0);
  made.term = term;
  made.index = std::max(made.index, index);
}

void Oracle::restarted(MemberId id, const HardState& state, const LogView& log) {
  const Promise& made = promise(id);
  if (state.term < made.term) {
    violated("durable terms: ", id.value, " comes back in term ", state.term.value,
             " after it answered in term ", made.term.value);
  }
  if (state.term == made.term && log.last() < made.index) {
    violated("durable entries: ", id.value, " comes back with ", log.last().value,
             " entries after it acknowledged ", made.index.value);
  }
}

uint64_t Oracle::read_begins(uint64_t now, uint64_t bound) {
  if (bound == 0) {
    reads_.push_back(acknowledged_);
  } else {
    reads_.push_back(now > bound ? acknowledged_at_.at(now - bound) : Index(0));
  }
  return reads_.size() - 1;
}

void Oracle::read_answered(uint64_t read, Index index) {
  if (read >= reads_.size()) violated("an answer to a read that nobody asked for");
  if (index < reads_[read]) {
    violated("linearizable reads: read ", read, " at index ", index.value,
             " began after the write at ", reads_[read].value, " was acknowledged");
  }
  ++reads_checked_;
}

void Oracle::tick(uint64_t now) { acknowledged_at_.resize(now + 1, acknowledged_); }

}  // namespace keelson::raft::sim
