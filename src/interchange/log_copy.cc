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
          : "Start keelson once more on this directory, wait until it serves, stop it in order";
  return absl::FailedPreconditionError(cat(
      "interchange: nothing was changed, because the log has a request past the database that "
      "could not be applied afterwards: entry ",
      entry.index.value, " of term ", entry.term.value, " ", why, ". ", former, ", and try again"));
}

class Copying {
 public:
  Copying(const LogCopy& copy, const Bytes& metadata) : copy_(copy), metadata_(metadata) {}

  absl::StatusOr<CopiedLog> run() {
    result_.term = copy_.index == copy_.mark.index ? copy_.mark.term : Term(0);
    if (absl::Status s = open(); !s.ok()) return s;
    absl::StatusOr<wal::Contents> old =
        wal::read(copy_.from, {copy_.mark.index, copy_.mark.term},
                  [this](raft::Entry entry) { return take(std::move(entry)); });
    if (!old.ok()) return old.status();
    if (!begun_) {
      if (absl::Status s = begin(); !s.ok()) return s;
    }
    raft::HardState state = old->state;
    // What the state holds was committed.
    state.commit = std::max(state.commit, copy_.index);
    state.term = std::max(state.term, result_.term);
    absl::Status s = write(state);
    if (s.ok()) s = log_->sync();
    if (s.ok()) s = log_->close();
    if (!s.ok()) return s;
    return result_;
  }

 private:
  absl::Status open() {
    absl::StatusOr<wire::WalMetadata> metadata = wire::decode_wal_metadata(metadata_);
    if (!metadata.ok()) return metadata.status();
    result_.metadata = *metadata;
    absl::StatusOr<std::unique_ptr<wal::Wal>> log =
        wal::Wal::create(copy_.to, metadata_, wal::Options());
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }

  absl::Status take(raft::Entry entry) {
    if (entry.index <= copy_.index) {
      if (entry.index == copy_.index) result_.term = entry.term;
      return absl::OkStatus();
    }
    if (!begun_) {
      if (absl::Status s = begin(); !s.ok()) return s;
    }
    if (copy_.minor && entry.type == raft::EntryType::kNormal) {
      entry.data = lowered(entry.data, *copy_.minor);
    }
    bytes_ += entry.data.size();
    batch_.push_back(std::move(entry));
    ++result_.entries;
    return bytes_ < kBatchBytes ? absl::OkStatus() : write({});
  }

  // Where the state stands, once that entry's term is known.
  absl::Status begin() {
    if (result_.term == Term(0) && copy_.index != Index(0)) {
      return absl::DataLossError(cat("interchange: the log in ", copy_.from,
                                     " does not reach entry ", copy_.index.value,
                                     ", whose effects the database has"));
    }
    begun_ = true;
    if (copy_.index == Index(0)) return absl::OkStatus();
    return log_->save_snapshot({copy_.index, result_.term}, copy_.conf_state);
  }

  absl::Status write(const raft::HardState& state) {
    absl::Status s = log_->append(state, batch_);
    batch_.clear();
    bytes_ = 0;
    return s;
  }

  const LogCopy& copy_;
  const Bytes& metadata_;
  CopiedLog result_;
  std::unique_ptr<wal::Wal> log_;
  bool begun_ = false;  // the mark is in the new log
  std::vector<raft::Entry> batch_;
  size_t bytes_ = 0;  // of batch_
};

}  // namespace

absl::StatusOr<Bytes> check_log(const LogCopy& copy) {
  CHECK(copy.mark.index <= copy.index);
  const auto check = [&copy](const raft::Entry& entry) {
    if (entry.index <= copy.index) return absl::OkStatus();
    const std::string why = cannot_be_applied(entry, copy.applied_by);
    return why.empty() ? absl::OkStatus() : not_applicable(entry, why, copy.applied_by);
  };
  absl::StatusOr<wal::Contents> log =
      wal::read(copy.from, {copy.mark.index, copy.mark.term}, check);
  if (!log.ok()) return log.status();
  return log->metadata;
}

absl::StatusOr<CopiedLog> copy_log(const LogCopy& copy, const Bytes& metadata) {
  CHECK(copy.mark.index <= copy.index);
  return Copying(copy, metadata).run();
}

}  // namespace keelson::interchange
