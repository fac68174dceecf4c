#include "interchange/log_copy.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "interchange/etcd_version.h"
#include "proto/raft_internal.pb.h"
#include "wal/wal.h"

namespace keelson::interchange {
namespace {

constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kKeptBytes = 16 << 20;

// The entry's payload, its cluster version lowered to the given one if it sets a higher one.
Bytes lowered(const Bytes& data, int minor) {
  etcdserverpb::InternalRaftRequest request;
  if (!request.ParseFromArray(data.data(), static_cast<int>(data.size()))) return data;
  if (!request.has_cluster_version_set()) return data;
  const std::optional<int> named = minor_of(request.cluster_version_set().ver());
  if (!named || *named <= minor) return data;
  request.mutable_cluster_version_set()->set_ver(version_of(minor));
  return Bytes::copy(request.SerializeAsString());
}

// What the operator does about an entry that cannot be applied: its effects, if it has any, get
// into the state where it was written, and it is not needed any more.
absl::Status not_applicable(const raft::Entry& entry, const std::string& why, AppliedBy by) {
  const std::string_view former =
      by == AppliedBy::kKeelson
          ? "Start the etcd that wrote it once more on this directory, as a member of its "
            "cluster, wait until it serves, stop it in order (SIGTERM)"
          : "Start keelson once more on this directory, wait until it serves, stop it in order "
            "(SIGTERM)";
  return absl::FailedPreconditionError(cat(
      "interchange: nothing was changed, because the log has a request past the database that "
      "could not be applied afterwards: entry ",
      entry.index.value, " of term ", entry.term.value, " ", why, ". ", former, ", and try again"));
}

class Checking {
 public:
  explicit Checking(const LogCopy& copy) : copy_(copy), rights_count_(copy.rights_count) {
    checked_.entries.emplace();
    if (copy.index == copy.mark.index) checked_.term = copy.mark.term;
  }

  absl::StatusOr<CheckedLog> run() {
    absl::StatusOr<wal::Contents> log =
        wal::read(copy_.from, {copy_.mark.index, copy_.mark.term},
                  [this](const raft::Entry& entry) { return take(entry); });
    if (!log.ok()) return log.status();
    checked_.metadata = log->metadata;
    checked_.state = log->state;
    return std::move(checked_);
  }

 private:
  absl::Status take(const raft::Entry& entry) {
    if (entry.index == copy_.index) checked_.term = entry.term;
    if (entry.index <= copy_.index) return absl::OkStatus();
    const std::string why = cannot_be_applied(entry, copy_.applied_by);
    if (!why.empty()) return not_applicable(entry, why, copy_.applied_by);
    rights_count_ |= turns_rights_on(entry);
    if (leaves_ranges_out() && may_be_done_otherwise(entry, rights_count_)) {
      return not_applicable(entry,
                            "is a transaction that may be refused for what it reads, which etcd "
                            "3.5 and 3.6 would carry out",
                            copy_.applied_by);
    }
    if (checked_.entries) keep(entry);
    return absl::OkStatus();
  }

  bool leaves_ranges_out() const {
    return copy_.applied_by == AppliedBy::kEtcd35 || copy_.applied_by == AppliedBy::kEtcd36;
  }

  // A copy, as the entry's data are part of a larger block of the log.
  void keep(const raft::Entry& entry) {
    bytes_ += sizeof entry + entry.data.size();
    if (bytes_ > kKeptBytes) return checked_.entries.reset();
    checked_.entries->push_back(entry);
    checked_.entries->back().data = Bytes::copy(entry.data);
  }

  const LogCopy& copy_;
  bool rights_count_;  // by now
  CheckedLog checked_;
  size_t bytes_ = 0;  // of checked_.entries; <= kKeptBytes while there are some
};

class Copying {
 public:
  Copying(const LogCopy& copy, CheckedLog checked) : copy_(copy), checked_(std::move(checked)) {}

  absl::StatusOr<CopiedLog> run() {
    if (checked_.term == Term(0) && copy_.index != Index(0)) {
      return absl::DataLossError(cat("interchange: the log in ", copy_.from,
                                     " does not reach entry ", copy_.index.value,
                                     ", whose effects the database has"));
    }
    result_.term = checked_.term;
    absl::Status s = open();
    if (s.ok() && copy_.index != Index(0)) {
      s = log_->save_snapshot({copy_.index, result_.term}, copy_.conf_state);
    }
    if (s.ok()) s = take_all();
    if (!s.ok()) return s;
    raft::HardState state = checked_.state;
    // What the state holds was committed.
    state.commit = std::max(state.commit, copy_.index);
    state.term = std::max(state.term, result_.term);
    s = write(state);
    if (s.ok()) s = log_->sync();
    if (s.ok()) s = log_->close();
    if (!s.ok()) return s;
    return result_;
  }

 private:
  absl::Status open() {
    absl::StatusOr<wire::WalMetadata> metadata = wire::decode_wal_metadata(checked_.metadata);
    if (!metadata.ok()) return metadata.status();
    result_.metadata = *metadata;
    absl::StatusOr<std::unique_ptr<wal::Wal>> log =
        wal::Wal::create(copy_.to, checked_.metadata, wal::Options());
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }

  absl::Status take_all() {
    if (!checked_.entries) {
      return wal::read(copy_.from, {copy_.mark.index, copy_.mark.term},
                       [this](raft::Entry entry) { return take(std::move(entry)); })
          .status();
    }
    for (raft::Entry& entry : *checked_.entries) {
      if (absl::Status s = take(std::move(entry)); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status take(raft::Entry entry) {
    if (entry.index <= copy_.index) return absl::OkStatus();
    if (copy_.minor && entry.type == raft::EntryType::kNormal) {
      entry.data = lowered(entry.data, *copy_.minor);
    }
    bytes_ += entry.data.size();
    batch_.push_back(std::move(entry));
    ++result_.entries;
    return bytes_ < kBatchBytes ? absl::OkStatus() : write({});
  }

  absl::Status write(const raft::HardState& state) {
    absl::Status s = log_->append(state, batch_);
    batch_.clear();
    bytes_ = 0;
    return s;
  }

  const LogCopy& copy_;
  CheckedLog checked_;
  CopiedLog result_;
  std::unique_ptr<wal::Wal> log_;
  std::vector<raft::Entry> batch_;
  size_t bytes_ = 0;  // of batch_
};

}  // namespace

absl::StatusOr<CheckedLog> check_log(const LogCopy& copy) {
  CHECK(copy.mark.index <= copy.index);
  return Checking(copy).run();
}

absl::StatusOr<CopiedLog> copy_log(const LogCopy& copy, CheckedLog checked) {
  CHECK(copy.mark.index <= copy.index);
  return Copying(copy, std::move(checked)).run();
}

}  // namespace keelson::interchange
