#include "interchange/compare_keys.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/revision_key.h"
#include "base/text.h"
#include "base/thread.h"
#include "boltfile/etcd_keys.h"

namespace keelson::interchange {
namespace {

constexpr uint64_t kTellEvery = 4096;  // records
// Less is not worth a thread.
constexpr uint64_t kPartBytes = 64 << 20;
constexpr int kMostParts = 8;

// The bytes of another file.
class SameBytes final : public boltfile::Source {
 public:
  explicit SameBytes(const boltfile::Source& of) : of_(of) {}
  uint64_t size() const override { return of_.size(); }
  absl::Status read(uint64_t offset, char* out, size_t size) const override {
    return of_.read(offset, out, size);
  }
  std::string name() const override { return of_.name(); }

 private:
  const boltfile::Source& of_;
};

std::string revision_text(std::string_view key) {
  ParsedRevision at;
  if (!parse_revision_key(key, &at)) return "?";
  return cat(at.revision.main, "/", at.revision.sub);
}

// What the parts have read together, and whether they should go on.
struct Together {
  std::atomic<uint64_t> records{0}, bytes{0};
  std::atomic<bool> stopped{false};
};

// Revisions from `from` on, and before `until`; without an end, all that are left.
class Part {
 public:
  Part(const backend::Reader& store, int64_t from, std::optional<int64_t> until, Together* together)
      : store_(store),
        from_(RevisionKey({from, 0}).view()),
        from_revision_(from),
        until_(until ? std::string(RevisionKey({*until, 0}).view()) : ""),
        together_(*together) {}

  absl::Status run(const boltfile::File& of, uint64_t added,
                   const std::function<bool(const ReadProgress&)>& progress) {
    absl::Status s = compare(of, added, progress);
    if (!s.ok()) together_.stopped = true;
    return s;
  }

 private:
  bool is_in(std::string_view key) const { return until_.empty() || key < until_; }

  absl::Status compare(const boltfile::File& of, uint64_t added,
                       const std::function<bool(const ReadProgress&)>& progress) {
    auto file = boltfile::File::open(std::make_unique<SameBytes>(of.source()));
    if (!file.ok()) return file.status();
    absl::StatusOr<boltfile::EtcdKeys> keys = boltfile::EtcdKeys::open(**file);
    if (!keys.ok()) return keys.status();
    auto ours = store_.iterate(backend::Bucket::kKey);
    from_revision_ == 0 ? ours->seek_to_first() : ours->seek(from_);
    absl::Status s = keys->seek({from_revision_, 0});
    const auto theirs_left = [&] { return keys->valid() && is_in(keys->record().stored_key); };
    const auto ours_left = [&] { return ours->valid() && is_in(ours->key()); };
    for (; s.ok() && theirs_left() && ours_left(); s = keys->next(), ours->next()) {
      if (absl::Status same = check(keys->record(), *ours); !same.ok()) return same;
      if (seen_.records % kTellEvery == 0 && !tell(progress)) {
        return absl::CancelledError("interchange: not wanted any more");
      }
    }
    if (!s.ok()) return s;
    for (; !theirs_left() && added > 0 && ours_left(); --added) ours->next();
    if (!ours->status().ok()) return ours->status();
    if (!theirs_left() && !ours_left() && added == 0) return absl::OkStatus();
    return absl::DataLossError(cat("interchange: ", theirs_left() ? "the store" : "the database",
                                   " lacks revision ",
                                   revision_text(theirs_left() ? keys->record().stored_key
                                                 : ours_left() ? ours->key()
                                                               : ""),
                                   ", which the other has"));
  }

  absl::Status check(const boltfile::EtcdRecord& theirs, const backend::Iterator& ours) {
    if (theirs.stored_key != ours.key() || theirs.stored_value != ours.value()) {
      return absl::DataLossError(cat("interchange: revision ", revision_text(theirs.stored_key),
                                     " of the database is not what the store has at ",
                                     revision_text(ours.key())));
    }
    ++seen_.records;
    seen_.bytes += theirs.stored_key.size() + theirs.stored_value.size();
    return absl::OkStatus();
  }

  bool tell(const std::function<bool(const ReadProgress&)>& progress) {
    together_.records += seen_.records - told_.records;
    together_.bytes += seen_.bytes - told_.bytes;
    told_ = seen_;
    if (together_.stopped) return false;
    ReadProgress all;
    all.records = together_.records;
    all.bytes = together_.bytes;
    return !progress || progress(all);
  }

  const backend::Reader& store_;
  const std::string from_;
  const int64_t from_revision_;
  const std::string until_;  // "": there is no end
  Together& together_;
  ReadProgress seen_, told_;  // told_ <= seen_
};

// The first revision of each part, ascending, the first of them 0.
absl::StatusOr<std::vector<int64_t>> cut(const boltfile::File& of, int parts) {
  auto file = boltfile::File::open(std::make_unique<SameBytes>(of.source()));
  if (!file.ok()) return file.status();
  absl::StatusOr<boltfile::EtcdKeys> keys = boltfile::EtcdKeys::open(**file);
  if (!keys.ok()) return keys.status();
  std::vector<int64_t> begins = {0};
  if (absl::Status s = keys->seek({}); !s.ok()) return s;
  if (!keys->valid()) return begins;
  const int64_t first = keys->record().revision.main;
  absl::StatusOr<std::optional<Revision>> last = keys->last_revision();
  if (!last.ok()) return last.status();
  CHECK(last->has_value());
  for (int i = 1; i < parts; ++i) {
    const int64_t begin = first + ((*last)->main - first) / parts * i;
    if (begin > begins.back()) begins.push_back(begin);
  }
  return begins;
}

int parts_of(const boltfile::File& file) {
  const uint64_t worth = std::max<uint64_t>(file.size() / kPartBytes, 1);
  const uint64_t cores = std::max<uint64_t>(std::thread::hardware_concurrency(), 1);
  return static_cast<int>(std::min<uint64_t>({worth, cores, kMostParts}));
}

}  // namespace

absl::Status compare_keys(const boltfile::File& file, const backend::Reader& store,
                          const Comparing& how) {
  const absl::StatusOr<std::vector<int64_t>> begins =
      cut(file, how.parts > 0 ? how.parts : parts_of(file));
  if (!begins.ok()) return begins.status();
  Together together;
  std::deque<Part> parts;
  for (size_t i = 0; i < begins->size(); ++i) {
    std::optional<int64_t> until;
    if (i + 1 < begins->size()) until = (*begins)[i + 1];
    parts.emplace_back(store, (*begins)[i], until, &together);
  }
  std::vector<absl::Status> results(parts.size());
  const auto run = [&](size_t i, const std::function<bool(const ReadProgress&)>& progress) {
    results[i] = parts[i].run(file, i + 1 == parts.size() ? how.added : 0, progress);
  };
  std::vector<Thread> threads(parts.size() - 1);
  for (size_t i = 1; i < parts.size(); ++i) {
    threads[i - 1] = Thread([&run, i] { run(i, {}); });
  }
  run(0, how.progress);
  for (Thread& thread : threads) thread.join();
  // Whoever stopped the others comes before those.
  for (const absl::Status& result : results) {
    if (!result.ok() && !absl::IsCancelled(result)) return result;
  }
  for (const absl::Status& result : results) {
    if (!result.ok()) return result;
  }
  return absl::OkStatus();
}

}  // namespace keelson::interchange
