#include "peer/incoming_state.h"

#include <utility>

#include "base/text.h"
#include "base/thread.h"
#include "mvcc/store.h"

namespace keelson::peer {

namespace {

// What a damaged store's errors advise is meant for a member whose own it is.
absl::Status of_what_came(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  const std::string_view cause = message_of(status).substr(0, message_of(status).find("; "));
  return absl::DataLossError(cat("what was sent is damaged: ", cause,
                                 "; this member keeps what it has: look at the disk of the member "
                                 "that sent it"));
}

}  // namespace

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

absl::Status IncomingState::open_state(node::ReceivedState* state) {
  absl::StatusOr<std::shared_ptr<backend::Backend>> made = make_store();
  if (!made.ok()) return made.status();
  state->backend = *std::move(made);
  absl::Status settled;
  Thread settling([&] { settled = settle(*state->backend); });
  absl::StatusOr<std::unique_ptr<mvcc::Store>> opened =
      mvcc::Store::open(state->backend.get(), parts_.home->store_options());
  settling.join();
  if (!settled.ok()) return settled;
  if (!opened.ok()) return opened.status();
  state->store = *std::move(opened);
  return absl::OkStatus();
}

absl::StatusOr<node::ReceivedState> IncomingState::make_state() {
  node::ReceivedState state{.index = parts_.at.index, .term = parts_.at.term};
  if (absl::Status s = open_state(&state); !s.ok()) return of_what_came(s);
  if (absl::Status noted = state.backend->note_log(); !noted.ok()) return noted;
  if (absl::Status s = parts_.home->check(state); !s.ok()) return s;
  return state;
}

}  // namespace keelson::peer
