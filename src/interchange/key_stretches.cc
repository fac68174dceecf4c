#include "interchange/key_stretches.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/revision_key.h"
#include "base/text.h"
#include "base/thread.h"
#include "boltfile/etcd_keys.h"

namespace keelson::interchange {
namespace {

// Less is not worth a thread; and threads that are done wait for the last at most that long.
constexpr uint64_t kStretchBytes = 64 << 20;
constexpr size_t kMostThreads = 8;
constexpr uint64_t kTellEvery = 1 << 20;  // bytes
constexpr boltfile::Pages::Limits kInOrder{.cache_bytes = 1 << 20};

// The bytes of another file.
class SameBytes final : public boltfile::Source {
 public:
  explicit SameBytes(const boltfile::Source& of) : of_(of) {}
  uint64_t size() const override { return of_.size(); }
  absl::Status read(uint64_t offset, char* out, size_t size) const override {
    return of_.read(offset, out, size);
  }
  void expect(uint64_t offset, uint64_t size) const override { of_.expect(offset, size); }
  std::string name() const override { return of_.name(); }

 private:
  const boltfile::Source& of_;
};

absl::StatusOr<std::unique_ptr<boltfile::File>> view_of(const boltfile::File& file) {
  return boltfile::File::open(std::make_unique<SameBytes>(file.source()), kInOrder);
}

absl::Status cancelled() {
  return absl::CancelledError("interchange: nobody wants the database any more");
}

// What all threads have read together, and whether they should go on.
struct Together {
  std::atomic<uint64_t> records{0}, bytes{0};
  std::atomic<bool> stopped{false};
};

// One thread's count of it.
class Teller {
 public:
  Teller(Together* together, const TellProgress* progress)
      : together_(*together), progress_(progress) {}

  // False: stop.
  bool note(uint64_t bytes) {
    ++untold_.records;
    untold_.bytes += bytes;
    return untold_.bytes < kTellEvery || tell();
  }
  bool tell() {
    ReadProgress all;
    all.records = together_.records += untold_.records;
    all.bytes = together_.bytes += untold_.bytes;
    untold_ = {};
    if (together_.stopped) return false;
    return !progress_ || !*progress_ || (*progress_)(all);
  }

 private:
  Together& together_;
  const TellProgress* const progress_;  // null: another thread's
  ReadProgress untold_;
};

// Does all the work there is, some of it on threads of its own. The first error ends it.
absl::Status share_out(size_t count, const TellProgress& progress,
                       absl::FunctionRef<absl::Status(size_t, Teller&)> work) {
  const size_t cores = std::max<size_t>(std::thread::hardware_concurrency(), 1);
  std::vector<absl::Status> results(std::min({count, cores, kMostThreads}));
  Together together;
  std::atomic<size_t> next{0};
  const auto run = [&](size_t thread) {
    Teller teller(&together, thread == 0 ? &progress : nullptr);
    absl::Status s;
    for (size_t i = next++; s.ok() && i < count; i = next++) s = work(i, teller);
    if (s.ok() && !teller.tell()) s = cancelled();
    if (!s.ok()) together.stopped = true;
    results[thread] = std::move(s);
  };
  std::vector<Thread> threads(results.size() - 1);
  for (size_t i = 0; i < threads.size(); ++i) threads[i] = Thread([&run, i] { run(i + 1); });
  run(0);
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

void add_record(std::string_view key, std::string_view value, KeyStretch* to) {
  ++to->total.records;
  to->total.bytes += key.size() + value.size();
  char sizes[8];
  store_little64(sizes, key.size() << 32 | value.size());
  to->sum = crc32c::extend(to->sum, {sizes, sizeof sizes});
  to->sum = crc32c::extend(crc32c::extend(to->sum, key), value);
}

absl::StatusOr<std::vector<KeyStretch>> cut(const boltfile::File& of, size_t stretches) {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = view_of(of);
  if (!file.ok()) return file.status();
  absl::StatusOr<boltfile::EtcdKeys> keys = boltfile::EtcdKeys::open(**file);
  if (!keys.ok()) return keys.status();
  absl::StatusOr<std::vector<std::string>> cuts = keys->cuts(stretches);
  if (!cuts.ok()) return cuts.status();
  std::vector<KeyStretch> found(cuts->size() + 1);
  for (size_t i = 0; i < cuts->size(); ++i) found[i].until = found[i + 1].from = (*cuts)[i];
  return found;
}

absl::StatusOr<KeyStretch> read_stretch(const boltfile::File& of, backend::KeyLoad* load,
                                        Teller& teller, KeyStretch stretch) {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = view_of(of);
  if (!file.ok()) return file.status();
  absl::StatusOr<boltfile::EtcdKeys> keys = boltfile::EtcdKeys::open(**file);
  if (!keys.ok()) return keys.status();
  const std::unique_ptr<backend::KeyLoad::Part> part = load ? load->part() : nullptr;
  absl::Status s = keys->seek_key(stretch.from);
  for (; s.ok() && keys->valid(); s = keys->next()) {
    const std::string_view key = keys->record().stored_key, value = keys->record().stored_value;
    if (!stretch.until.empty() && key >= stretch.until) break;
    if (part) {
      if (absl::Status added = part->add(key, value); !added.ok()) return added;
    }
    add_record(key, value, &stretch);
    if (!teller.note(key.size() + value.size())) return cancelled();
  }
  if (s.ok() && part) s = part->finish();
  if (!s.ok()) return s;
  return stretch;
}

std::string revision_text(std::string_view key) {
  ParsedRevision at;
  if (!parse_revision_key(key, &at)) return "?";
  return cat(at.revision.main, "/", at.revision.sub);
}

absl::Status differs(const KeyStretch& stretch) {
  const std::string from =
      stretch.from.empty() ? "the first" : cat("revision ", revision_text(stretch.from));
  const std::string until =
      stretch.until.empty() ? "the last" : cat("before ", revision_text(stretch.until));
  return absl::DataLossError(cat("interchange: from ", from, " to ", until,
                                 " the store does not give back the records of the database"));
}

absl::Status check_stretch(const KeyStretch& stretch, const backend::Reader& store, uint64_t added,
                           Teller& teller) {
  const auto at =
      store.iterate(backend::Bucket::kKey, {.lower = stretch.from, .upper = stretch.until});
  KeyStretch found{.from = stretch.from, .until = stretch.until};
  uint64_t beyond = 0;
  for (at->seek_to_first(); at->valid(); at->next()) {
    if (found.total.records == stretch.total.records) {
      ++beyond;
    } else {
      add_record(at->key(), at->value(), &found);
    }
    if (!teller.note(at->key().size() + at->value().size())) return cancelled();
  }
  if (!at->status().ok()) return at->status();
  const bool same = found.total.records == stretch.total.records && found.sum == stretch.sum;
  return same && beyond == added ? absl::OkStatus() : differs(stretch);
}

}  // namespace

absl::StatusOr<std::vector<KeyStretch>> read_keys(const boltfile::File& file,
                                                  backend::KeyLoad* load, const KeyReading& how) {
  const size_t worth = std::max<size_t>(file.size() / kStretchBytes, 1);
  absl::StatusOr<std::vector<KeyStretch>> all =
      cut(file, how.stretches > 0 ? how.stretches : worth);
  if (!all.ok()) return all;
  absl::Status s = share_out(all->size(), how.progress, [&](size_t i, Teller& teller) {
    absl::StatusOr<KeyStretch> read = read_stretch(file, load, teller, (*all)[i]);
    if (read.ok()) (*all)[i] = *std::move(read);
    return read.status();
  });
  if (s.ok() && load) s = load->install();
  if (!s.ok()) return s;
  return all;
}

absl::Status check_keys(const std::vector<KeyStretch>& stretches, const backend::Reader& store,
                        const KeyCheck& how) {
  CHECK(!stretches.empty());
  return share_out(stretches.size(), how.progress, [&](size_t i, Teller& teller) {
    const bool last = i + 1 == stretches.size();
    return check_stretch(stretches[i], store, last ? how.added : 0, teller);
  });
}

}  // namespace keelson::interchange
