#include "ctl/watch_session.h"

#include <cstdlib>
#include <ostream>

#include "base/errors.h"
#include "base/text.h"
#include "ctl/outcome.h"
#include "ctl/run_program.h"

namespace keelson::ctl {
namespace {

constexpr std::chrono::milliseconds kReopenPause{100};

std::string cancel_text(const pb::WatchResponse& r) {
  if (r.compact_revision() != 0) return std::string(message_of(errors::Compacted()));
  if (!r.cancel_reason().empty()) return r.cancel_reason();
  return std::string(message_of(errors::FutureRev()));
}

bool is_progress(const pb::WatchResponse& r) {
  return r.events().empty() && !r.canceled() && !r.created() && r.compact_revision() == 0 &&
         r.header().revision() != 0;
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back(go_quote(word));
  return cat("[", join(quoted, " "), "]");
}

}  // namespace

WatchSession::WatchSession(Client& client, Printer& printer, Console& console, bool interactive)
    : client_(client),
      printer_(printer),
      console_(console),
      interactive_(interactive),
      stream_(client.watch()) {
  reader_ = std::thread([this] { read_stream(); });
}

WatchSession::~WatchSession() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stream_->cancel();
  }
  changed_.notify_all();
  reader_.join();
}

void WatchSession::send_create(const WatchPlan& plan) {
  pb::WatchRequest request;
  *request.mutable_create_request() = plan.request;
  // A failed write shows as the end of the stream on the reader's side.
  (void)stream_->write(request);
}

void WatchSession::add(WatchPlan plan) {
  std::lock_guard lock(mutex_);
  send_create(plan);
  pending_.push_back(std::move(plan));
}

void WatchSession::progress() {
  pb::WatchRequest request;
  request.mutable_progress_request();
  std::lock_guard lock(mutex_);
  (void)stream_->write(request);
}

absl::Status WatchSession::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return finished_; });
  return result_;
}

void WatchSession::read_stream() {
  pb::WatchResponse response;
  while (true) {
    while (stream_->read(&response)) {
      handle(response);
      std::lock_guard lock(mutex_);
      if (finished_ || stopping_) return;
    }
    if (!reopen(stream_->finish())) return;
  }
}

// True if the watches go on, on a new stream.
bool WatchSession::reopen(const absl::Status& why) {
  std::unique_lock lock(mutex_);
  if (stopping_) return false;
  // etcd's client does not wait for the next leader either, though it asked to be told of none.
  const bool no_leader = message_of(why) == message_of(errors::NoLeader());
  if (!why.ok() && (no_leader || !(absl::IsUnavailable(why) || absl::IsInternal(why)))) {
    console_.err << "watch was canceled (" << message_of(why) << ")\n";
    result_ = failure(ExitCode::kInterrupted, "watch is canceled by the server");
    finished_ = true;
    changed_.notify_all();
    return false;
  }
  changed_.wait_for(lock, kReopenPause, [this] { return stopping_; });
  if (stopping_) return false;
  stream_ = client_.watch();
  for (auto& [id, plan] : watches_) pending_.push_back(std::move(plan));
  watches_.clear();
  for (const WatchPlan& plan : pending_) send_create(plan);
  return true;
}

// Refused before there was a watch: shown as etcdctl shows what its client library makes of it,
// which keeps the reason to itself.
void WatchSession::refused(const pb::WatchResponse& response) {
  console_.err << "watch was canceled (" << response.cancel_reason() << ")\n";
  pb::WatchResponse told;
  told.set_canceled(true);
  absl::Status status = printer_.watch(told);
  console_.out.flush();
  if (status.ok()) return;
  std::lock_guard lock(mutex_);
  result_ = status;
}

void WatchSession::created(const pb::WatchResponse& response) {
  if (response.canceled()) refused(response);
  std::lock_guard lock(mutex_);
  if (pending_.empty()) return;
  WatchPlan plan = std::move(pending_.front());
  pending_.pop_front();
  if (!response.canceled()) {
    // A watch from "now" starts here, also if the stream should break before its first event.
    if (plan.request.start_revision() == 0) {
      plan.request.set_start_revision(response.header().revision() + 1);
    }
    watches_[response.watch_id()] = std::move(plan);
  }
}

void WatchSession::handle(const pb::WatchResponse& response) {
  if (response.created()) created(response);
  std::vector<WatchPlan> shown_to;
  {
    std::lock_guard lock(mutex_);
    // -1 speaks to every watch of the stream: the answer to a progress request.
    for (auto& [id, plan] : watches_) {
      if (id != response.watch_id() && response.watch_id() != -1) continue;
      shown_to.push_back(plan);
      if (!response.events().empty()) {
        plan.request.set_start_revision(response.events().rbegin()->kv().mod_revision() + 1);
      }
    }
    if (response.canceled()) watches_.erase(response.watch_id());
  }
  if (!response.created()) {
    for (const WatchPlan& plan : shown_to) show(plan, response);
  }
  std::lock_guard lock(mutex_);
  if (!interactive_ && watches_.empty() && pending_.empty() && result_.ok()) {
    result_ = failure(ExitCode::kInterrupted, "watch is canceled by the server");
  }
  finished_ = !result_.ok();
  changed_.notify_all();
}

void WatchSession::show(const WatchPlan& plan, const pb::WatchResponse& response) {
  if (response.canceled()) {
    console_.err << "watch was canceled (" << cancel_text(response) << ")\n";
  }
  if (is_progress(response)) {
    console_.out << "progress notify: " << response.header().revision() << "\n";
  }
  absl::Status status = printer_.watch(response);
  console_.out.flush();
  if (!status.ok()) {
    std::lock_guard lock(mutex_);
    result_ = status;
    return;
  }
  if (!plan.command.empty()) run_command(plan, response);
}

void WatchSession::run_command(const WatchPlan& plan, const pb::WatchResponse& response) {
  for (const auto& event : response.events()) {
    auto code = run_program(
        plan.command,
        {cat("ETCD_WATCH_REVISION=", response.header().revision()),
         cat("ETCD_WATCH_EVENT_TYPE=", go_quote(mvccpb::Event::EventType_Name(event.type()))),
         cat("ETCD_WATCH_KEY=", go_quote(event.kv().key())),
         cat("ETCD_WATCH_VALUE=", go_quote(event.kv().value()))});
    if (code.ok() && *code == 0) continue;
    std::string reason =
        code.ok() ? cat("exit status ", *code) : std::string(message_of(code.status()));
    console_.err << "command " << quoted_list(plan.command) << " error (" << reason << ")\n";
    console_.err.flush();
    if (interactive_) std::_Exit(static_cast<int>(ExitCode::kError));
    std::lock_guard lock(mutex_);
    result_ = already_reported(static_cast<int>(ExitCode::kError));
    return;
  }
}

}  // namespace keelson::ctl
