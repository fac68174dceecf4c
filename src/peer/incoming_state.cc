#include "peer/incoming_state.h"

#include <utility>

#include "base/thread.h"
#include "mvcc/store.h"

namespace keelson::peer {

// One at a time and in order, as the workers keep it for an owner.
void IncomingState::run(absl::AnyInvocable<void()> job) {
  parts_.workers->go_on(reinterpret_cast<uintptr_t>(this),
                        [self = shared_from_this(), job = std::move(job)](int) mutable { job(); });
}

template <typename Body>
void IncomingState::tell(Body body) {
  parts_.loop->post([self = shared_from_this(), body = std::move(body)]() mutable {
    if (!self->cancelled_) return body();
    // What it holds may be a whole store, whose end is no work for the loop.
    self->run([body = std::move(body)] {});
  });
}

void IncomingState::cancel() {
  cancelled_ = true;
  written_ = nullptr;
  // To let go of large files takes the file system its time.
  run([this] { remove(); });
}

void IncomingState::write(std::string bytes) {
  waiting_ += bytes.size();
  size_ += bytes.size();
  run([this, bytes = std::move(bytes)] {
    const bool had_failed = !error_.ok();
    if (!had_failed && !cancelled_) error_ = take(bytes);
    tell([this, size = bytes.size(), had_failed, error = error_] {
      waiting_ -= size;
      if (!had_failed && written_) written_(error);
    });
  });
}

void IncomingState::finish(absl::AnyInvocable<void()> saved, Made made) {
  run([this, saved = std::move(saved), made = std::move(made)]() mutable {
    if (cancelled_) return;
    const absl::Status all = error_.ok() ? all_taken() : error_;
    if (all.ok()) tell(std::move(saved));
    absl::StatusOr<node::ReceivedState> state =
        all.ok() ? make_state() : absl::StatusOr<node::ReceivedState>(all);
    remove();
    tell([made = std::move(made), state = std::move(state)]() mutable { made(std::move(state)); });
  });
}

absl::StatusOr<node::ReceivedState> IncomingState::make_state() {
  absl::StatusOr<std::shared_ptr<backend::Backend>> store = make_store();
  if (!store.ok()) return store.status();
  absl::Status settled;
  Thread settling([&] { settled = settle(**store); });
  absl::StatusOr<std::unique_ptr<mvcc::Store>> opened =
      mvcc::Store::open(store->get(), parts_.home->store_options());
  settling.join();
  if (!settled.ok()) return settled;
  if (!opened.ok()) return opened.status();
  if (absl::Status noted = (*store)->note_log(); !noted.ok()) return noted;
  node::ReceivedState state{.index = parts_.at.index,
                            .term = parts_.at.term,
                            .backend = *std::move(store),
                            .store = *std::move(opened)};
  if (absl::Status s = parts_.home->check(state); !s.ok()) return s;
  return state;
}

}  // namespace keelson::peer
