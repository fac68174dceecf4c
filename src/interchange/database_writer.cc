#include "interchange/database_writer.h"

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "boltfile/writer.h"
#include "interchange/etcd_version.h"

namespace keelson::interchange {
namespace {

using backend::Bucket;

// What differs from the state's own records; nullopt: it is left out.
using Changes = std::array<std::map<std::string, std::optional<std::string>, std::less<>>,
                           backend::kBucketCount>;

constexpr std::string_view kClusterVersion = "clusterVersion";
constexpr std::string_view kDowngrade = "downgrade";
constexpr std::string_view kStorageVersion = "storageVersion";
constexpr std::string_view kAuthRevision = "authRevision";
constexpr int kFirstWithStorageVersion = 6;

// etcd's versions go with what the cluster has agreed on; before that there is none.
absl::Status add_versions(const backend::Snapshot& state, std::optional<int> for_minor,
                          Changes* changes) {
  auto& meta = (*changes)[static_cast<size_t>(Bucket::kMeta)];
  meta[std::string(kStorageVersion)] = std::nullopt;
  absl::StatusOr<std::optional<Bytes>> found = state.get(Bucket::kCluster, kClusterVersion);
  if (!found.ok()) return found.status();
  std::optional<int> minor = *found ? minor_of(**found) : std::nullopt;
  if (!minor) return absl::OkStatus();
  if (for_minor && *for_minor < *minor) {
    minor = for_minor;
    auto& cluster = (*changes)[static_cast<size_t>(Bucket::kCluster)];
    cluster[std::string(kClusterVersion)] = version_of(*minor);
    // That was a way down to somewhere else.
    cluster[std::string(kDowngrade)] = std::nullopt;
  }
  if (*minor >= kFirstWithStorageVersion) meta[std::string(kStorageVersion)] = version_of(*minor);
  return absl::OkStatus();
}

absl::StatusOr<Changes> changes_to(const backend::Snapshot& state, const DatabaseOptions& options) {
  Changes changes;
  if (absl::Status s = add_versions(state, options.minor, &changes); !s.ok()) return s;
  absl::StatusOr<std::optional<Bytes>> found = state.get(Bucket::kAuth, kAuthRevision);
  if (!found.ok()) return found.status();
  if (!*found) {
    changes[static_cast<size_t>(Bucket::kAuth)][std::string(kAuthRevision)] = big64(1);
  }
  return changes;
}

// Gives a Writer, or what has its calls, all buckets and records in the order of the file.
class Walk {
 public:
  Walk(const backend::Snapshot& state, const Changes& changes) : state_(state), changes_(changes) {}

  // True: that was all.
  template <typename To>
  absl::StatusOr<bool> step(uint64_t bytes, To& to) {
    uint64_t done = 0;
    for (; bucket_ < backend::kBucketCount; ++bucket_) {
      const Bucket bucket = backend::buckets_by_name()[bucket_];
      if (!at_) {
        if (absl::Status s = to.begin_bucket(backend::bucket_name(bucket)); !s.ok()) return s;
        at_ = state_.iterate(bucket);
        at_->seek_to_first();
        change_ = changes_of(bucket).begin();
      }
      while (at_->valid() || change_ != changes_of(bucket).end()) {
        if (done > 0 && done >= bytes) return false;
        if (absl::Status s = one(changes_of(bucket), to, &done); !s.ok()) return s;
      }
      if (!at_->status().ok()) return at_->status();
      if (absl::Status s = to.end_bucket(); !s.ok()) return s;
      at_.reset();
    }
    return true;
  }

 private:
  // What a record costs whoever reads it, besides its bytes.
  static constexpr uint64_t kPerRecord = 64;

  const Changes::value_type& changes_of(Bucket bucket) const {
    return changes_[static_cast<size_t>(bucket)];
  }

  template <typename To>
  absl::Status one(const Changes::value_type& changes, To& to, uint64_t* done) {
    const bool changed =
        change_ != changes.end() && (!at_->valid() || change_->first <= at_->key());
    if (!changed) {
      if (absl::Status s = to.add(at_->key(), at_->value()); !s.ok()) return s;
      *done += kPerRecord + at_->key().size() + at_->value().size();
      at_->next();
      return absl::OkStatus();
    }
    // An iterator that stopped at an error would look like the end.
    if (!at_->valid() && !at_->status().ok()) return at_->status();
    if (at_->valid() && change_->first == at_->key()) at_->next();
    const auto& [key, value] = *change_++;
    *done += kPerRecord;
    return value ? to.add(key, *value) : absl::OkStatus();
  }

  const backend::Snapshot& state_;
  const Changes& changes_;
  size_t bucket_ = 0;                      // in the order of names; <= kBucketCount
  std::unique_ptr<backend::Iterator> at_;  // in that bucket; null: it is not begun, or all is done
  Changes::value_type::const_iterator change_;  // the next in that bucket
};

class Planning {
 public:
  explicit Planning(boltfile::Planner* planner) : planner_(*planner) {}
  absl::Status begin_bucket(std::string_view name) { return planner_.begin_bucket(name.size()); }
  absl::Status add(std::string_view key, std::string_view value) {
    return planner_.add(key.size(), value.size());
  }
  absl::Status end_bucket() { return planner_.end_bucket(); }

 private:
  boltfile::Planner& planner_;
};

// The writer has one sink, each step its own.
class Forwarding final : public boltfile::Sink {
 public:
  void point_to(boltfile::Sink* to) { to_ = to; }
  absl::Status write(std::string_view bytes) override { return to_->write(bytes); }

 private:
  boltfile::Sink* to_ = nullptr;
};

}  // namespace

struct DatabaseWriter::State {
  State(std::shared_ptr<const backend::Snapshot> snapshot, const DatabaseOptions& given)
      : state(std::move(snapshot)), options(given) {}

  absl::StatusOr<bool> plan_step(uint64_t bytes) {
    if (!walk) {
      absl::StatusOr<Changes> found = changes_to(*state, options);
      if (!found.ok()) return found.status();
      changes = *std::move(found);
      planner = std::make_unique<boltfile::Planner>(options.layout);
      walk.emplace(*state, changes);
    }
    Planning to(planner.get());
    absl::StatusOr<bool> done = walk->step(bytes, to);
    if (!done.ok() || !*done) return done;
    absl::StatusOr<boltfile::Plan> made = planner->finish();
    if (!made.ok()) return made.status();
    plan = *made;
    walk.reset();
    return true;
  }

  absl::StatusOr<bool> write_step(uint64_t bytes, boltfile::Sink& sink) {
    if (!walk) {
      writer = std::make_unique<boltfile::Writer>(*plan, &forwarding);
      walk.emplace(*state, changes);
    }
    forwarding.point_to(&sink);
    absl::StatusOr<bool> done = walk->step(bytes, *writer);
    if (!done.ok() || !*done) return done;
    if (absl::Status s = writer->finish(); !s.ok()) return s;
    return true;
  }

  template <typename Step>
  absl::StatusOr<bool> keep(Step&& step) {
    if (!status.ok()) return status;
    absl::StatusOr<bool> done = step();
    if (!done.ok()) status = done.status();
    return done;
  }

  const std::shared_ptr<const backend::Snapshot> state;
  const DatabaseOptions options;
  absl::Status status;
  Changes changes;
  std::optional<Walk> walk;  // of the phase that is under way
  std::unique_ptr<boltfile::Planner> planner;
  std::optional<boltfile::Plan> plan;  // set: the first phase is over
  Forwarding forwarding;
  std::unique_ptr<boltfile::Writer> writer;
};

DatabaseWriter::DatabaseWriter(std::shared_ptr<const backend::Snapshot> state,
                               const DatabaseOptions& options)
    : state_(std::make_unique<State>(std::move(state), options)) {
  CHECK(!options.minor || *options.minor >= kOldestMinor);
  CHECK(!options.minor || *options.minor <= kNewestMinor);
}

DatabaseWriter::~DatabaseWriter() = default;

absl::StatusOr<bool> DatabaseWriter::plan_step(uint64_t bytes) {
  CHECK(!state_->plan);
  return state_->keep([&] { return state_->plan_step(bytes); });
}

uint64_t DatabaseWriter::size() const {
  CHECK(state_->plan.has_value());
  return state_->plan->bytes();
}

std::string DatabaseWriter::storage_version() const {
  CHECK(state_->plan.has_value());
  const auto& meta = state_->changes[static_cast<size_t>(Bucket::kMeta)];
  return meta.find(kStorageVersion)->second.value_or("");
}

absl::StatusOr<bool> DatabaseWriter::write_step(uint64_t bytes, boltfile::Sink& sink) {
  CHECK(state_->plan.has_value());
  return state_->keep([&] { return state_->write_step(bytes, sink); });
}

absl::Status write_database(const backend::Snapshot& state, const DatabaseOptions& options,
                            boltfile::Sink* sink) {
  // It lives longer than the writer.
  DatabaseWriter writer(std::shared_ptr<const backend::Snapshot>(std::shared_ptr<void>(), &state),
                        options);
  if (absl::Status s = writer.plan_step(UINT64_MAX).status(); !s.ok()) return s;
  return writer.write_step(UINT64_MAX, *sink).status();
}

absl::Status write_database(const backend::Snapshot& state, const DatabaseOptions& options,
                            boltfile::SeekableSink* sink) {
  absl::StatusOr<Changes> changes = changes_to(state, options);
  if (!changes.ok()) return changes.status();
  boltfile::Writer writer(options.layout, sink);
  if (absl::Status s = Walk(state, *changes).step(UINT64_MAX, writer).status(); !s.ok()) return s;
  return writer.finish();
}

}  // namespace keelson::interchange
