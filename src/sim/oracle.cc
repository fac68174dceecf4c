#include "sim/oracle.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "membership/version.h"

namespace keelson::sim {
namespace {

uint64_t place(Term term, Index index) { return term.value << 40 | index.value; }

// Of the members in a snapshot file, as etcd's v2 store has them.
raft::ConfState conf_state_in(std::string_view v2_store) {
  using Json = nlohmann::json;
  raft::ConfState conf;
  const Json cluster = Json::parse(v2_store).at("Root").at("Children").at("0").at("Children");
  for (const auto& [id, member] : cluster.at("members").at("Children").items()) {
    const std::string text = member.at("Children").at("raftAttributes").at("Value");
    const bool learns = Json::parse(text).value("isLearner", false);
    (learns ? conf.learners : conf.voters).emplace_back(std::stoull(id, nullptr, 16));
  }
  std::sort(conf.voters.begin(), conf.voters.end());
  std::sort(conf.learners.begin(), conf.learners.end());
  return conf;
}

uint64_t content_of(const raft::Entry& entry) {
  return std::hash<std::string_view>()(entry.data.view()) + static_cast<uint64_t>(entry.type);
}

}  // namespace

void Oracle::sent(const raft::Message& message) {
  const bool asks_only = message.type == raft::MessageType::kMsgPreVote ||
                         message.type == raft::MessageType::kMsgPreVoteResp;
  if (!asks_only) newest_ = std::max(newest_, message.term);
  if (message.type != raft::MessageType::kMsgApp) return;
  check_complete(message, message.index, message.log_term);
  Term before = message.log_term;
  Index index = message.index;
  for (const raft::Entry& entry : message.entries) {
    if (entry.index != ++index) verdict_.violated(cat("a gap in an append at ", index.value));
    check_entry(index, entry.term, before, entry);
    check_complete(message, index, entry.term);
    before = entry.term;
  }
}

void Oracle::check_entry(Index index, Term term, Term before, const raft::Entry& entry) {
  const Entry seen{content_of(entry), before};
  auto [found, added] = entries_.try_emplace(place(term, index), seen);
  if (added) return;
  if (found->second.content != seen.content) {
    verdict_.violated(cat("two entries ", index.value, " of term ", term.value));
  }
  if (found->second.before != before) {
    verdict_.violated(cat("entry ", index.value, " of term ", term.value, " stands behind one of ",
                          before.value, " and behind one of ", found->second.before.value));
  }
}

void Oracle::check_complete(const raft::Message& append, Index index, Term term) {
  auto found = applied_.find(index.value);
  if (found == applied_.end() || found->second.term == term) return;
  if (append.term <= found->second.newest) return;
  verdict_.violated(cat("the leader of term ", append.term.value, " has an entry ", index.value,
                        " of term ", term.value, "; one of term ", found->second.term.value,
                        " was applied in term ", found->second.newest.value));
}

void Oracle::leads(MemberId member, Term term) {
  if (leader_ != member && (leaders_.empty() || term > leaders_.rbegin()->first)) {
    former_leader_ = std::exchange(leader_, member);
  }
  newest_ = std::max(newest_, term);
  auto [found, added] = leaders_.try_emplace(term, member);
  if (found->second != member) verdict_.violated(cat("two members lead term ", term.value));
  auto gone = removed_.find(member);
  if (gone == removed_.end() || term <= gone->second) return;
  verdict_.violated(
      cat("a member that was removed in term ", gone->second.value, " leads term ", term.value));
}

void Oracle::removed(MemberId member) { removed_.try_emplace(member, newest_); }

void Oracle::applied(Index index, Term term, StateSum sum) {
  auto [found, added] = applied_.try_emplace(index.value, Applied{term, newest_, sum});
  if (found->second.term != term) {
    verdict_.violated(cat("entries ", index.value, " of terms ", term.value, " and ",
                          found->second.term.value, " were applied"));
  }
  if (found->second.sum.keys != sum.keys) {
    verdict_.violated(cat("the keys after entry ", index.value, " are not the same everywhere"));
  }
  if (found->second.sum.rest != sum.rest) {
    verdict_.violated(
        cat("leases, members or alarms after entry ", index.value, " are not the same everywhere"));
  }
}

void Oracle::marked(const raft::Snapshot& mark) {
  const Index index = mark.metadata.index;
  auto [found, added] = marks_.try_emplace(index.value, mark);
  if (found->second.metadata != mark.metadata || found->second.data != mark.data) {
    verdict_.violated(cat("two snapshot files of entry ", index.value, " do not say the same"));
  }
  raft::ConfState conf = mark.metadata.conf_state;
  std::sort(conf.voters.begin(), conf.voters.end());
  std::sort(conf.learners.begin(), conf.learners.end());
  if (conf != conf_state_in(mark.data)) {
    verdict_.violated(cat("the snapshot file of entry ", index.value, " has other members"));
  }
}

void Oracle::cluster_version(std::string_view from, std::string_view to) {
  using membership::Version;
  const std::optional<Version> now = Version::parse(to);
  if (!now || *now > membership::kOurVersion) {
    return verdict_.violated(cat("the cluster's version is ", to));
  }
  const std::optional<Version> before = Version::parse(from);
  if (before && *now < *before && !asked_versions_.contains(to)) {
    verdict_.violated(cat("the cluster's version goes back from ", from, " to ", to));
  }
}

StateSum Oracle::sum_at(Index index) const {
  if (index == Index(0)) return {};
  auto found = applied_.find(index.value);
  CHECK(found != applied_.end());
  return found->second.sum;
}

}  // namespace keelson::sim
