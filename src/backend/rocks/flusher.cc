#include "backend/rocks/flusher.h"

#include <future>
#include <memory>
#include <utility>

#include "backend/rocks/status.h"
#include "base/failpoint.h"
#include "base/log.h"

namespace keelson::backend::rocks {

Flusher::Flusher(rocksdb::DB* db, const Families& families, Durability* durability,
                 const Waits& waits, std::function<void()> make_room)
    : db_(db),
      families_(families),
      durability_(durability),
      worker_("backend-flush", waits, [this, make_room = std::move(make_room)](bool) {
        absl::Status status = flush_now();
        if (absl::IsResourceExhausted(status)) {
          make_room();
          retry_later();
        }
        return status;
      }) {}

void Flusher::stop(bool flush_last) {
  if (!worker_.stop() || !flush_last) return;
  if (absl::Status s = flush_now(); !s.ok()) {
    log::warn("backend: not flushed at close; the log has it", {{"error", message_of(s)}});
  }
}

absl::Status Flusher::flush_now() {
  KEELSON_FAILPOINT("backend_before_flush");
  if (absl::Status s = KEELSON_FAILPOINT_STATUS("backend_flush"); !s.ok()) return s;
  rocksdb::FlushOptions options;
  options.wait = true;
  options.allow_write_stall = true;
  uint64_t sequence = db_->GetLatestSequenceNumber();
  absl::Status status = to_status(db_->Flush(options, families_), "flushing");
  if (status.ok()) {
    durability_->clear_full_disk();
    // RocksDB wakes us before it has told its listeners.
    status = durability_->advance(sequence);
  }
  KEELSON_FAILPOINT("backend_after_flush");
  return status;
}

absl::Status flush_and_wait(Flusher& flusher) {
  auto result = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> done = result->get_future();
  flusher.flush([result](absl::Status status) { result->set_value(std::move(status)); });
  return done.get();
}

}  // namespace keelson::backend::rocks
