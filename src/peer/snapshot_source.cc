#include "peer/snapshot_source.h"

#include <string>
#include <utility>

#include "base/check.h"

namespace keelson::peer {

namespace {

// What a worker does before others have their turn.
constexpr uint64_t kPlanStep = 4 << 20;
constexpr uint64_t kPiece = 512 << 10;

class StringSink final : public boltfile::Sink {
 public:
  explicit StringSink(std::string* out) : out_(*out) {}
  absl::Status write(std::string_view bytes) override {
    out_.append(bytes);
    return absl::OkStatus();
  }

 private:
  std::string& out_;
};

}  // namespace

SnapshotSource::SnapshotSource(Workers* workers, net::Loop* loop,
                               std::shared_ptr<const backend::Snapshot> state)
    : workers_(*workers),
      loop_(*loop),
      writer_(std::make_unique<interchange::DatabaseWriter>(std::move(state))) {}

// There is one job for it at a time, and few sources: nothing is ever refused.
void SnapshotSource::plan(Then<uint64_t> then) {
  workers_.go_on(reinterpret_cast<uintptr_t>(this),
                 [self = shared_from_this(), then = std::move(then)](int) mutable {
                   self->plan_some(std::move(then));
                 });
}

void SnapshotSource::plan_some(Then<uint64_t> then) {
  if (cancelled_) return writer_.reset();
  absl::StatusOr<bool> whole = writer_->plan_step(kPlanStep);
  if (!whole.ok()) return tell<uint64_t>(std::move(then), whole.status());
  if (!*whole) return plan(std::move(then));
  tell<uint64_t>(std::move(then), writer_->size());
}

void SnapshotSource::next(Then<Piece> then) {
  workers_.go_on(reinterpret_cast<uintptr_t>(this),
                 [self = shared_from_this(), then = std::move(then)](int) mutable {
                   self->make_some(std::move(then));
                 });
}

void SnapshotSource::make_some(Then<Piece> then) {
  if (cancelled_) return writer_.reset();
  CHECK(writer_);
  std::string bytes;
  StringSink sink(&bytes);
  absl::StatusOr<bool> last = writer_->write_step(kPiece, sink);
  if (!last.ok()) return tell<Piece>(std::move(then), last.status());
  if (*last) writer_.reset();
  tell<Piece>(std::move(then), Piece{.bytes = Bytes::copy(bytes), .last = *last});
}

void SnapshotSource::cancel() {
  if (cancelled_.exchange(true)) return;
  // Letting go of a state is work for the store, and not the loop's.
  workers_.go_on(reinterpret_cast<uintptr_t>(this),
                 [self = shared_from_this()](int) { self->writer_.reset(); });
}

template <typename Value>
void SnapshotSource::tell(Then<Value> then, absl::StatusOr<Value> result) {
  loop_.post(
      [self = shared_from_this(), then = std::move(then), result = std::move(result)]() mutable {
        if (!self->cancelled_) then(std::move(result));
      });
}

}  // namespace keelson::peer
