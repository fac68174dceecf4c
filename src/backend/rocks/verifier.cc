#include "backend/rocks/verifier.h"

#include <pthread.h>

#include <memory>
#include <string>
#include <utility>

#include "backend/rocks/status.h"
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
constexpr auto kBeforeAnotherTry = std::chrono::seconds(1);
// An iterator keeps the files it began with: after so many slices a new one goes on.
constexpr int kSlicesOfAnIterator = 256;

}  // namespace

Verifier::Verifier(rocksdb::DB* db, const Families& families, TakePassing passing,
                   std::function<void(absl::Status)> damaged)
    : db_(*db),
      families_(families),
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
      if (!rest(kBeforeAnotherTry)) return;
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

void Verifier::slice(rocksdb::Iterator& it, bool show) {
  show = show && wanted_;
  PassingRecords records;
  uint64_t read = 0;
  for (size_t n = 0; it.Valid() && read < kSliceBytes && n < kSliceRecords; it.Next(), ++n) {
    read += it.key().size() + it.value().size();
    if (show) records.emplace_back(it.key().ToString(), it.value().ToString());
  }
  verified_ += read;
  if (show) wanted_ = passing_(std::move(records));
}

absl::Status Verifier::verify(rocksdb::ColumnFamilyHandle* family, bool show) {
  rocksdb::ReadOptions options = DbReader::read_options(nullptr);
  options.fill_cache = false;
  options.readahead_size = 256 << 10;
  std::string reached;
  while (true) {
    std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator(options, family));
    reached.empty() ? it->SeekToFirst() : it->Seek(reached);
    for (int slices = 0; it->Valid() && slices < kSlicesOfAnIterator; ++slices) {
      const auto start = Clock::now();
      slice(*it, show);
      if (!rest(kRest * (Clock::now() - start))) return absl::CancelledError("backend: closing");
    }
    if (!it->Valid()) return to_status(it->status(), "verifying");
    reached = it->key().ToString();
  }
}

}  // namespace keelson::backend::rocks
