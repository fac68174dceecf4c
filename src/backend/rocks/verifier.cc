#include "backend/rocks/verifier.h"

#include <pthread.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "backend/rocks/status.h"
#include "base/check.h"
#include "base/endian.h"
#include "base/log.h"
#include "base/text.h"
#include "rocksdb/db.h"

namespace keelson::backend::rocks {
namespace {

using Clock = std::chrono::steady_clock;

// Read between two rests. A rest is kRest times as long as the reading was.
constexpr uint64_t kSliceBytes = 256 << 10;
constexpr size_t kSliceRecords = 512;
constexpr int kRest = 4;
constexpr int kTries = 5;
// An iterator keeps the files it began with: after so many slices a new one goes on.
constexpr int kSlicesOfAnIterator = 256;
// Deleted records that one step may pass over; some ten milliseconds' work.
constexpr uint64_t kMostPassedOver = 64 << 10;

// How many keys are walked at a time, as distances of their first eight bytes (of the key family:
// revisions).
constexpr uint64_t kAllKeys = UINT64_MAX;
constexpr uint64_t kNarrower = 16;

uint64_t place_of(std::string_view key) {
  char first[8] = {};
  key.copy(first, sizeof first);
  return load_big64(first);
}

}  // namespace

Verifier::Verifier(rocksdb::DB* db, const Families& families, const Waits& waits,
                   TakePassing passing, std::function<void(absl::Status)> damaged)
    : db_(*db),
      families_(families),
      waits_(waits),
      passing_(std::move(passing)),
      damaged_(std::move(damaged)),
      thread_([this] { run(); }) {}

void Verifier::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

bool Verifier::rest(Clock::duration time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return stopping_; });
}

void Verifier::run() {
  pthread_setname_np(pthread_self(), "backend-verify");
  const auto start = Clock::now();
  for (rocksdb::ColumnFamilyHandle* family : families_) {
    const bool key_family = family == families_[static_cast<size_t>(Bucket::kKey)];
    const uint64_t before = verified_;
    absl::Status status = verify(family, key_family);
    // What cannot be read may be a passing weakness of the disk; what is wrong stays wrong.
    for (int tries = 1; absl::IsUnavailable(status) && tries < kTries; ++tries) {
      if (!rest(waits_.before_another_read())) return;
      verified_ = before;
      status = verify(family, false);
    }
    if (absl::IsCancelled(status)) return;
    if (!status.ok()) return damaged_(absl::DataLossError(cat(message_of(status))));
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  log::info("backend: every record was read back",
            {{"bytes", static_cast<int64_t>(verified_)}, {"took-ms", took.count()}});
}

void Verifier::slice(rocksdb::Iterator& it, bool show, std::string* reached) {
  show = show && wanted_;
  PassingRecords records;
  uint64_t read = 0;
  for (size_t n = 0; it.Valid() && read < kSliceBytes && n < kSliceRecords; it.Next(), ++n) {
    read += it.key().size() + it.value().size();
    if (show) records.emplace_back(it.key().ToString(), it.value().ToString());
    reached->assign(it.key().data(), it.key().size());
  }
  verified_ += read;
  if (show) wanted_ = passing_(std::move(records));
}

absl::Status Verifier::verify(rocksdb::ColumnFamilyHandle* family, bool show) {
  rocksdb::ReadOptions options = DbReader::read_options(nullptr);
  options.fill_cache = false;
  options.readahead_size = 256 << 10;
  std::string from, reached;
  for (uint64_t width = kAllKeys;;) {
    const bool to_end = width >= kAllKeys - place_of(from);
    const std::string to = to_end ? std::string() : big64(place_of(from) + width);
    const rocksdb::Slice bound(to);
    options.iterate_upper_bound = to_end ? nullptr : &bound;
    options.max_skippable_internal_keys = width > 1 ? kMostPassedOver : 0;
    auto start = Clock::now();
    std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator(options, family));
    it->Seek(from);
    for (int slices = 0; it->Valid() && slices < kSlicesOfAnIterator; ++slices) {
      slice(*it, show, &reached);
      from = reached + '\0';
      if (!rest(kRest * (Clock::now() - start))) return absl::CancelledError("backend: closing");
      start = Clock::now();
    }
    if (it->Valid()) continue;
    if (it->status().IsIncomplete()) {
      CHECK(width > 1);
      width = std::max<uint64_t>(width / kNarrower, 1);
    } else if (!it->status().ok() || to_end) {
      return to_status(it->status(), "verifying");
    } else {
      from = to;
      width += std::min(width, kAllKeys - width);
    }
    if (!rest(kRest * (Clock::now() - start))) return absl::CancelledError("backend: closing");
  }
}

}  // namespace keelson::backend::rocks
