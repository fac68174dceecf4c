// Maintenance.Snapshot: etcd's database file of one moment, in messages of 32 KB that say how much
// is to come, and its SHA-256 at the end.
//
// A worker walks the state twice, for the file's size and for its bytes, slice by slice; between
// two slices it gives way to whom else the member serves (rpc/giving_way.h). The next slice begins
// when little is left of those before that the client has not taken, so what waits is three
// megabytes, however slow the client is. What holds old
// data on the disk for as long as it lasts is bounded in number, of which no client may have all,
// and in how slowly it may be taken. Source: etcd v3.7.1,
// server/etcdserver/api/v3rpc/maintenance.go.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apply/decode.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/protobuf.h"
#include "base/shares.h"
#include "base/size_text.h"
#include "base/text.h"
#include "base/time_text.h"
#include "boltfile/sha256.h"
#include "interchange/database_writer.h"
#include "rpc/giving_way.h"
#include "rpc/services.h"
#include "rpc/taking_pace.h"

namespace keelson::rpc {
namespace {

namespace field = keelson::pb;

constexpr size_t kBlob = 32 << 10;  // etcd's
// Of records, between two rests. Where nobody has to be given way, fewer turns are better: on a
// machine that is busy with other things a worker, nice as it is, waits for each.
constexpr uint64_t kSlice = 512 << 10;
constexpr uint64_t kLongSlice = 2 << 20;
constexpr uint64_t kPlanFactor = 4;  // so much more, when only their sizes matter
constexpr size_t kMostPending = 1 << 20;
// Each pins the state that it sends. Clients have shares (base/shares.h): one of them six at most.
constexpr int64_t kMostAtOnce = 8;
constexpr size_t kRows = 64;
constexpr Duration kLook = TakingPace::kWindow / 4;

// SnapshotResponse: remaining_bytes = 2, blob = 3, version = 4.
Parts message(uint64_t remaining, Bytes blob, std::string_view version) {
  std::string head, tail;
  field::append_varint_field(head, 2, remaining);
  field::append_bytes_head(head, 3, blob.size());
  if (!version.empty()) field::append_bytes_field(tail, 4, version);
  Parts parts = Parts::copy(head);
  parts.add(std::move(blob));
  parts.add(Bytes::copy(tail));
  return parts;
}

// The file as messages. One worker at a time.
class Sending final : public boltfile::Sink {
 public:
  struct Slice {
    absl::Status status;
    std::vector<Parts> messages;
    bool last = false;
    Duration took{0};
  };

  // `tells`: what becomes of it is said in the log.
  Sending(const node::Node& node, bool tells)
      : node_(node), tells_(tells), begun_(node.clock().now()) {}

  // About `bytes` of records.
  Slice next(uint64_t bytes) {
    const MonotonicTime start = node_.clock().now();
    Slice slice;
    absl::StatusOr<bool> done = step(bytes);
    slice.status = done.status();
    slice.last = done.ok() && *done;
    slice.messages = std::exchange(messages_, {});
    slice.took = node_.clock().now() - start;
    return slice;
  }

  bool tells() const { return tells_; }
  Duration age() const { return node_.clock().now() - begun_; }
  uint64_t total() const { return planned_ ? writer_->size() : 0; }
  std::string version() const { return version_; }

  absl::Status write(std::string_view bytes) override {
    sum_.update(bytes);
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, kBlob - blob_.size());
      blob_.append(piece);
      bytes.remove_prefix(piece.size());
      if (blob_.size() == kBlob) send_blob();
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<bool> step(uint64_t bytes) {
    if (!writer_) {
      // The node may get another one meanwhile.
      backend_ = node_.backend();
      writer_ = std::make_unique<interchange::DatabaseWriter>(backend_->snapshot());
    }
    if (!planned_) return plan(kPlanFactor * bytes);
    absl::StatusOr<bool> done = writer_->write_step(bytes, *this);
    if (!done.ok() || !*done) return done;
    if (!blob_.empty()) send_blob();
    CHECK(sent_ == writer_->size());
    if (tells_) {
      log::info("sending database sha256 checksum to client",
                {{"total-bytes", sent_}, {"checksum-size", boltfile::kSha256Size}});
    }
    messages_.push_back(message(0, Bytes::copy(sum_.finish()), version_));
    return true;
  }

  absl::StatusOr<bool> plan(uint64_t bytes) {
    absl::StatusOr<bool> done = writer_->plan_step(bytes);
    if (!done.ok()) return done;
    if (!*done) return false;
    planned_ = true;
    version_ = writer_->storage_version();
    if (tells_) {
      log::info("sending database snapshot to client", {{"total-bytes", writer_->size()},
                                                        {"size", size_text(writer_->size())},
                                                        {"storage-version", version_}});
    }
    return false;
  }

  void send_blob() {
    sent_ += blob_.size();
    messages_.push_back(message(writer_->size() - sent_, Bytes::copy(blob_), version_));
    blob_.clear();
  }

  const node::Node& node_;
  const bool tells_;
  const MonotonicTime begun_;
  std::shared_ptr<backend::Backend> backend_;            // outlives what reads it
  std::unique_ptr<interchange::DatabaseWriter> writer_;  // null: nothing was done yet
  bool planned_ = false;
  std::string version_;
  boltfile::Sha256 sum_;
  std::string blob_;   // <= kBlob; not sent yet
  uint64_t sent_ = 0;  // bytes of the file in messages so far
  std::vector<Parts> messages_;
};

// One of those that may run at once.
class Admission {
 public:
  Admission(SharedShares* running, Origin from) : running_(*running), from_(from) {
    running_.add(from_, 1);
  }
  ~Admission() { running_.remove(from_, 1); }
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

 private:
  SharedShares& running_;
  const Origin from_;
};

class SnapshotCall final : public net::StreamReceiver {
 public:
  SnapshotCall(Context& context, net::CallRef call, SharedShares* running)
      : context_(context), call_(std::move(call)), running_(*running) {}

  void on_message(Bytes bytes) override {
    etcdserverpb::SnapshotRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call_->fail(std::move(s));
    if (sending_ || finished_) return;
    if (absl::Status s = context_.require_admin(*call_); !s.ok()) return call_->fail(std::move(s));
    const Origin from = context_.origin(*call_);
    if (running_.ask(from, 1) != SharedShares::Verdict::kYes) {
      return call_->fail(errors::RequestTooManyRequests());
    }
    constexpr size_t kLines = 3;  // as many as it takes to send one
    sending_ = std::make_shared<Sending>(context_.node(),
                                         take_line(context_.lines(), kLines * kUsualLine));
    way_.emplace(applied(), context_.node().clock().now());
    // With whoever is last, this or a worker: it is what pins the state.
    admission_ = std::make_shared<Admission>(&running_, from);
    pump();
    watch_pace();
  }

  void on_writable() override { pump(); }
  void on_cancel() override {
    if (sending_ && !finished_ && sending_->tells()) {
      log::warn("failed to send database snapshot to client", {{"total-bytes", told_total_}});
    }
  }
  void on_drain() override {
    finished_ = true;
    call_->finish(errors::Stopped());
    let_go();
  }

 private:
  void pump() {
    if (!sending_ || finished_ || working_ || call_->over()) return;
    if (call_->pending_bytes() >= kMostPending) return;
    working_ = true;
    pace_.our_turn(call_->loop().now());
    context_.snapshot_workers().go_on(
        reinterpret_cast<uintptr_t>(sending_.get()),
        [this, call = call_, sending = sending_, admission = admission_, bytes = slice_,
         alive = std::weak_ptr<bool>(alive_)](int) {
          if (call->over()) return;
          // Not a look at this object, which may be gone: it is only looked at on the loop.
          auto slice = std::make_shared<Sending::Slice>(sending->next(bytes));
          call->loop().post([this, slice, alive] {
            if (!alive.expired()) take(std::move(*slice));
          });
        });
  }

  void take(Sending::Slice slice) {
    if (finished_ || call_->over()) return;
    if (!slice.status.ok()) {
      return fail(slice.status, message_of(slice.status));
    }
    told_total_ = sending_->total();
    for (Parts& parts : slice.messages) {
      queued_ += parts.size();
      call_->send(std::move(parts));
    }
    if (slice.last) return finish();
    if (queued_ > 0) {
      absl::Status s = KEELSON_FAILPOINT_STATUS("snapshot_slice");
      if (!s.ok()) return fail(s, message_of(s));
    }
    const Duration rest = way_->rest(slice.took, applied(), context_.lane(*call_).last_read_end,
                                     context_.node().clock().now());
    slice_ = rest == Duration(0) ? kLongSlice : kSlice;
    if (rest == Duration(0)) return go_on();
    call_->loop().post_after(rest, [this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) go_on();
    });
  }

  void go_on() {
    working_ = false;
    pace_.clients_turn(call_->loop().now());
    pump();
  }

  Index applied() const {
    return Index(context_.node().state().applied.load(std::memory_order_relaxed));
  }

  void finish() {
    finished_ = true;
    const Duration took = sending_->age();
    if (sending_->tells()) {
      log::info("successfully sent database snapshot to client",
                {{"total-bytes", told_total_},
                 {"size", size_text(told_total_)},
                 {"took", duration_text(took)},
                 {"storage-version", sending_->version()}});
    }
    if (RequestObserver* observer = context_.observer()) observer->snapshot_sent(took);
    call_->finish(absl::OkStatus());
    let_go();
  }

  void fail(absl::Status status, std::string_view why) {
    finished_ = true;
    if (sending_->tells()) {
      log::warn("failed to send database snapshot to client",
                {{"error", why}, {"total-bytes", told_total_}});
    }
    call_->fail(std::move(status));
    let_go();
  }

  // What the client has yet to take, if it ever does, pins nothing.
  void let_go() {
    CHECK(finished_);
    sending_.reset();
    admission_.reset();
  }

  void watch_pace() {
    call_->loop().post_after(kLook, [this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired() || finished_ || call_->over()) return;
      const size_t taken = queued_ - std::min(queued_, call_->pending_bytes());
      if (!pace_.too_slow(taken, call_->loop().now())) return watch_pace();
      fail(errors::Timeout(), "the client takes it too slowly");
    });
  }

  Context& context_;
  const net::CallRef call_;
  SharedShares& running_;
  TakingPace pace_;
  std::optional<GivingWay> way_;  // once sending_ is there
  uint64_t slice_ = kSlice;       // the next one
  // Gone with this object: what comes back later finds out by it.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Sending>
      sending_;  // null: the request has not come yet, or it is over; a worker's while working_
  std::shared_ptr<Admission> admission_;
  bool working_ = false;  // a worker has a slice to do, or rests
  bool finished_ = false;
  size_t queued_ = 0;  // bytes given to the call
  uint64_t told_total_ = 0;
};

class Snapshot final : public net::StreamHandler {
 public:
  explicit Snapshot(Context& context) : context_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    // The only stream that etcd's learners serve.
    absl::Status admitted = context_.admit(*call, true, Context::Learners::kServe);
    if (!admitted.ok()) call->fail(std::move(admitted));
    context_.hold_until_token_known(call);
    return std::make_unique<SnapshotCall>(context_, std::move(call), &running_);
  }

 private:
  Context& context_;
  SharedShares running_{kMostAtOnce, kRows};  // calls whose state is pinned
};

}  // namespace

std::unique_ptr<net::StreamHandler> register_snapshot(Context& context, net::Router& router,
                                                      net::MethodOptions max) {
  auto handler = std::make_unique<Snapshot>(context);
  router.stream("/etcdserverpb.Maintenance/Snapshot", net::MethodKind::kServerStream, handler.get(),
                max);
  return handler;
}

}  // namespace keelson::rpc
