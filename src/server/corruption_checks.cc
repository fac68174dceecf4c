#include "server/corruption_checks.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using mvcc::KvHash;

constexpr MemberId kUnknownMember{0};

std::string hex(MemberId id) { return absl::StrCat(absl::Hex(id.value)); }

void tell_difference(std::string_view what, MemberId self, const KvHash& own, const PeerHash& other,
                     const KvHash& theirs) {
  log::warn(what, {{"local-member-id", hex(self)},
                   {"local-member-revision", own.hash_revision},
                   {"local-member-compact-revision", own.compact_revision},
                   {"local-member-hash", own.hash},
                   {"remote-peer-id", hex(other.member)},
                   {"remote-peer-endpoints", absl::StrJoin(other.urls, ",")},
                   {"remote-peer-revision", theirs.current_revision},
                   {"remote-peer-compact-revision", theirs.compact_revision},
                   {"remote-peer-hash", theirs.hash}});
}

// Of those that did not answer etcd tells the ones with an answer that says no.
void tell_no_hash(MemberId self, const KvHash& own, const PeerHash& other) {
  const absl::Status& error = other.hash.status();
  std::string_view what;
  if (error == errors::FutureRev()) {
    what = "cannot fetch hash from slow remote peer";
  } else if (error == errors::Compacted()) {
    what = "cannot fetch hash from remote peer; local member is behind";
  } else if (error == errors::ClusterIDMismatch()) {
    what = "cluster ID mismatch";
  } else {
    return;
  }
  log::warn(what, {{"local-member-id", hex(self)},
                   {"local-member-revision", own.hash_revision},
                   {"local-member-compact-revision", own.compact_revision},
                   {"local-member-hash", own.hash},
                   {"remote-peer-id", hex(other.member)},
                   {"remote-peer-endpoints", absl::StrJoin(other.urls, ",")},
                   {"error", message_of(error)}});
}

// What is wrong with one that follows, by what the leader hashed before it was asked and after.
bool differs(const KvHash& before, const KvHash& after, const PeerHash& other) {
  const KvHash& theirs = *other.hash;
  bool found = false;
  if (theirs.current_revision > after.current_revision) {
    log::warn("revision from follower must be less than or equal to leader's",
              {{"leader-revision", after.current_revision},
               {"follower-revision", theirs.current_revision},
               {"follower-peer-id", hex(other.member)}});
    found = true;
  }
  if (theirs.compact_revision > after.compact_revision) {
    log::warn("compact revision from follower must be less than or equal to leader's",
              {{"leader-compact-revision", after.compact_revision},
               {"follower-compact-revision", theirs.compact_revision},
               {"follower-peer-id", hex(other.member)}});
    found = true;
  }
  if (theirs.compact_revision == before.compact_revision && theirs.hash != before.hash) {
    log::warn("same compact revision then hashes must match",
              {{"leader-compact-revision", after.compact_revision},
               {"leader-hash", before.hash},
               {"follower-compact-revision", theirs.compact_revision},
               {"follower-hash", theirs.hash},
               {"follower-peer-id", hex(other.member)}});
    found = true;
  }
  return found;
}

// The leader's own hash of one revision changed while nothing was compacted.
bool differs_from_itself(const KvHash& before, const KvHash& after) {
  if (after.hash == before.hash || after.hash_revision != before.hash_revision ||
      after.compact_revision != before.compact_revision) {
    return false;
  }
  log::warn("found hash mismatch", {{"revision-1", before.hash_revision},
                                    {"compact-revision-1", before.compact_revision},
                                    {"hash-1", before.hash},
                                    {"revision-2", after.hash_revision},
                                    {"compact-revision-2", after.compact_revision},
                                    {"hash-2", after.hash}});
  return true;
}

using Groups = std::map<uint32_t, std::vector<MemberId>>;

// Who holds what, the leader among them. A member that did not answer, or compacted at another
// revision, is in no group.
Groups group(MemberId self, const KvHash& own, const std::vector<PeerHash>& others) {
  Groups groups{{own.hash, {self}}};
  for (const PeerHash& other : others) {
    std::string reason;
    if (!other.hash.ok()) {
      reason = "no response";
    } else if (other.hash->compact_revision != own.compact_revision) {
      reason = cat("the peer's CompactRevision ", other.hash->compact_revision,
                   " doesn't match leader's CompactRevision ", own.compact_revision);
    } else {
      groups[other.hash->hash].push_back(other.member);
      continue;
    }
    log::warn("Skipped peer's hash", {{"number-of-peers", others.size()},
                                      {"leader-id", hex(self)},
                                      {"peer-id", hex(other.member)},
                                      {"reason", reason}});
  }
  return groups;
}

void tell_group(MemberId self, const KvHash& own, const Groups::value_type& group, bool quorum) {
  std::string ids;
  for (MemberId id : group.second) ids += cat(ids.empty() ? "" : ",", hex(id));
  log::error("Detected compaction hash mismatch",
             {{"leader-id", hex(self)},
              {"leader-revision", own.hash_revision},
              {"leader-compact-revision", own.compact_revision},
              {"leader-hash", own.hash},
              {"peer-hash", group.first},
              {"peer-ids", ids},
              {"quorum-exist", quorum}});
}

}  // namespace

absl::Status judge_initially(MemberId self, const KvHash& own,
                             const std::vector<PeerHash>& others) {
  bool mismatch = false;
  for (const PeerHash& other : others) {
    if (!other.hash.ok()) {
      tell_no_hash(self, own, other);
    } else if (own.hash != other.hash->hash) {
      const bool same = own.compact_revision == other.hash->compact_revision;
      tell_difference(same ? "found different hash values from remote peer"
                           : "found different compact revision values from remote peer",
                      self, own, other, *other.hash);
      mismatch |= same;
    }
  }
  if (mismatch) {
    return absl::FailedPreconditionError(cat(hex(self), " found data inconsistency with peers"));
  }
  log::info("initial corruption checking passed; no corruption", {{"local-member-id", hex(self)}});
  return absl::OkStatus();
}

// A look at what all members hold.
struct CorruptionChecks::Check {
  Term term;
  absl::AnyInvocable<void(absl::Status)> done;
  KvHash before;
  std::vector<PeerHash> others;
};

// A look at what compactions have left, the newest first.
struct CorruptionChecks::CompactionCheck {
  Term term;
  absl::AnyInvocable<void()> done;
  std::vector<KvHash> hashes;
  size_t next = 0;  // <= hashes.size()
};

CorruptionChecks::CorruptionChecks(Executor& lane, Cluster& cluster, Options options)
    : lane_(lane), cluster_(cluster), options_(options) {
  CHECK(options_.compaction_interval.value_or(Duration(1)) > Duration(0));
}

void CorruptionChecks::start() {
  if (options_.interval > Duration(0)) {
    log::info("enabled corruption checking", {{"local-member-id", hex(cluster_.self())},
                                              {"interval", duration_text(options_.interval)}});
    lane_.post_after(options_.interval, [this] { tick(); });
  }
  if (options_.compaction_interval) {
    lane_.post_after(*options_.compaction_interval, [this] { tick_compactions(); });
  }
}

void CorruptionChecks::tick() {
  lane_.post_after(options_.interval, [this] { tick(); });
  const std::optional<Term> term = cluster_.leads();
  if (!term || checking_) return;
  checking_ = true;
  check(*term, [this](absl::Status status) {
    checking_ = false;
    if (!status.ok()) log::warn("failed to check hash KV", {{"error", message_of(status)}});
  });
}

// etcd rests between two, however long one takes.
void CorruptionChecks::tick_compactions() {
  const auto again = [this] {
    lane_.post_after(*options_.compaction_interval, [this] { tick_compactions(); });
  };
  const std::optional<Term> term = cluster_.leads();
  if (!term) return again();
  CHECK(!checking_compactions_);
  checking_compactions_ = true;
  check_compactions(*term, [this, again] {
    checking_compactions_ = false;
    again();
  });
}

// The leader hashes again behind a linearizable read: whatever a follower had is in that.
void CorruptionChecks::check(Term term, absl::AnyInvocable<void(absl::Status)> done) {
  auto check = std::make_shared<Check>(Check{.term = term, .done = std::move(done)});
  cluster_.hash([this, check](absl::StatusOr<KvHash> before) {
    if (!before.ok()) return check->done(before.status());
    check->before = *before;
    cluster_.ask_others(before->hash_revision, [this, check](std::vector<PeerHash> others) {
      check->others = std::move(others);
      cluster_.confirm([this, check](absl::Status confirmed) {
        if (!confirmed.ok()) return check->done(std::move(confirmed));
        cluster_.hash([this, check](absl::StatusOr<KvHash> after) { finish(*check, after); });
      });
    });
  });
}

// One alarm at a time, for whoever is found first: it stops all that writes anyway.
void CorruptionChecks::finish(Check& check, const absl::StatusOr<KvHash>& again) {
  if (!again.ok()) return check.done(again.status());
  std::optional<MemberId> wrong;
  if (differs_from_itself(check.before, *again)) wrong = cluster_.self();
  size_t checked = 0;
  for (const PeerHash& other : check.others) {
    if (!other.hash.ok()) continue;
    ++checked;
    if (differs(check.before, *again, other) && !wrong) wrong = other.member;
  }
  if (wrong) cluster_.raise_alarm(check.term, *wrong);
  log::info("finished peer corruption check", {{"number-of-peers-checked", checked}});
  check.done(absl::OkStatus());
}

void CorruptionChecks::check_compactions(Term term, absl::AnyInvocable<void()> done) {
  log::info("starting compact hash check", {{"local-member-id", hex(cluster_.self())},
                                            {"timeout", duration_text(options_.timeout)}});
  check_next(std::make_shared<CompactionCheck>(
      CompactionCheck{.term = term, .done = std::move(done), .hashes = unchecked()}));
}

void CorruptionChecks::check_next(std::shared_ptr<CompactionCheck> check) {
  CHECK(check->next <= check->hashes.size());
  if (check->next == check->hashes.size()) {
    log::info("finished compaction hash check",
              {{"number-of-hashes-checked", check->hashes.size()}});
    return check->done();
  }
  const KvHash& own = check->hashes[check->next++];
  cluster_.ask_others(own.hash_revision, [this, check](std::vector<PeerHash> others) {
    const KvHash& own = check->hashes[check->next - 1];
    if (others.empty() || !compare(check->term, own, others)) return check_next(check);
    log::info("finished compaction hash check", {{"number-of-hashes-checked", check->next}});
    check->done();
  });
}

std::vector<KvHash> CorruptionChecks::unchecked() const {
  std::vector<KvHash> hashes = cluster_.compaction_hashes();
  std::erase_if(hashes,
                [this](const KvHash& hash) { return hash.hash_revision <= latest_checked_; });
  std::sort(hashes.begin(), hashes.end(),
            [](const KvHash& a, const KvHash& b) { return a.hash_revision > b.hash_revision; });
  return hashes;
}

// True: there is no need to look at an older one, as all members were compared or an alarm was
// raised.
bool CorruptionChecks::compare(Term term, const KvHash& own, const std::vector<PeerHash>& others) {
  const MemberId self = cluster_.self();
  Groups groups = group(self, own, others);
  size_t compared = 0;
  for (const auto& [hash, members] : groups) compared += members.size();
  CHECK(compared >= 1);
  if (groups.size() == 1) return note_equal(own, compared - 1, others.size());
  const size_t quorum = (others.size() + 1) / 2 + 1;
  auto right = std::find_if(groups.begin(), groups.end(),
                            [quorum](const auto& group) { return group.second.size() >= quorum; });
  const bool known = right != groups.end();
  if (known) {
    groups.erase(right);
  } else {
    // Any of them may be wrong.
    log::error(
        "Detected compaction hash mismatch but cannot identify the corrupted members, so "
        "intentionally set the memberID as 0",
        {{"leader-id", hex(self)},
         {"leader-revision", own.hash_revision},
         {"leader-compact-revision", own.compact_revision},
         {"leader-hash", own.hash}});
    cluster_.raise_alarm(term, kUnknownMember);
  }
  for (const auto& wrong : groups) {
    if (known) {
      for (MemberId id : wrong.second) cluster_.raise_alarm(term, id);
    }
    tell_group(self, own, wrong, known);
  }
  return true;
}

bool CorruptionChecks::note_equal(const KvHash& own, size_t checked, size_t others) {
  if (checked == others) {
    log::info("successfully checked hash on whole cluster",
              {{"number-of-peers-checked", checked},
               {"revision", own.hash_revision},
               {"compactRevision", own.compact_revision}});
    latest_checked_ = std::max(latest_checked_, own.hash_revision);
    return true;
  }
  log::warn("skipped revision in compaction hash check; was not able to check all peers",
            {{"number-of-peers-checked", checked},
             {"number-of-peers", others},
             {"revision", own.hash_revision},
             {"compactRevision", own.compact_revision}});
  return false;
}

}  // namespace keelson::server
