// Election.Observe: who leads, and what each leader proclaims, as a stream.
//
// It reads who is first in the line and follows that key until it is deleted, then reads again;
// while nobody leads it waits for the first key below the name. One watcher at a time. A client
// that does not read is a cursor of the watch engine, as every watcher is.

#include <memory>
#include <string>
#include <utility>

#include "apply/decode.h"
#include "base/check.h"
#include "base/errors.h"
#include "proto/v3election.pb.h"
#include "rpc/as_caller.h"
#include "rpc/leader_response.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

class ObserveCall final : public net::StreamReceiver, private watch::WatchSink {
 public:
  ObserveCall(Context& context, net::CallRef call)
      : context_(context),
        call_(std::move(call)),
        stream_(context.lane(*call_).watches->open(*this)) {
    context.lane(*call_).leader_bounds->bind(
        *call_, [this] { leave(errors::NoLeader()); }, &bound_);
  }

  void on_message(Bytes bytes) override {
    if (!prefix_.empty()) return;
    v3electionpb::LeaderRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call_->fail(std::move(s));
    prefix_ = request.name() + '/';
    look();
  }

  void on_cancel() override { stream_.reset(); }
  void on_drain() override { leave(errors::Stopped()); }
  void on_writable() override {
    if (stream_) stream_->on_writable();
  }

 private:
  enum class Next : uint8_t { kNothing, kFollow, kLook, kEnd };

  void look() {
    range_as_caller(
        context_, call_, first_below(prefix_),
        [this, alive = std::weak_ptr<bool>(alive_)](absl::StatusOr<mvcc::RangeResult> found) {
          if (!alive.expired() && stream_) looked(std::move(found));
        });
  }

  // etcd ends the stream without a word where it may not, or cannot, go on.
  void looked(absl::StatusOr<mvcc::RangeResult> found) {
    if (!found.ok()) return leave(absl::OkStatus());
    if (found->kvs.empty()) return await_first(found->revision);
    mvcc::KeyValueView leader;
    CHECK(mvcc::decode_key_value(found->kvs[0], &leader));
    leader_ = leader.key;
    seen_ = found->revision;
    call_->send(leader_response(context_, found->revision, std::move(found->kvs[0])));
    follow();
  }

  void await_first(int64_t revision) {
    following_ = false;
    const CallerRange range = below(prefix_);
    stream_->create({.key = range.key,
                     .range_end = range.end,
                     .start_revision = revision + 1,
                     .no_delete = true,
                     .watch_id = ++watch_});
  }

  void follow() {
    following_ = true;
    stream_->create({.key = leader_, .start_revision = seen_ + 1, .watch_id = ++watch_});
  }

  // From inside the stream, which must not be asked anything now: what follows is done later.
  void send(Parts encoded) override {
    etcdserverpb::WatchResponse response;
    if (next_ != Next::kNothing || !response.ParseFromString(encoded.flat())) return;
    if (response.watch_id() != watch_) return;
    for (const mvccpb::Event& event : response.events()) {
      if (event.type() == mvccpb::Event::DELETE) return then(Next::kLook);
      // The one whose place is first is the leader; its revision is told as that of its key.
      const int64_t revision =
          following_ ? response.header().revision() : event.kv().mod_revision();
      call_->send(leader_response(context_, revision, Bytes::copy(event.kv().SerializeAsString())));
      if (following_) continue;
      leader_ = event.kv().key();
      seen_ = revision;
      return then(Next::kFollow);
    }
    if (!response.canceled()) return;
    then(response.compact_revision() > 0 ? Next::kLook : Next::kEnd);
  }

  void then(Next next) {
    next_ = next;
    call_->loop().post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired() || !stream_) return;
      stream_->cancel(watch_);
      switch (std::exchange(next_, Next::kNothing)) {
        case Next::kNothing:
          return;
        case Next::kFollow:
          return follow();
        case Next::kLook:
          return look();
        case Next::kEnd:
          return leave(absl::OkStatus());
      }
    });
  }

  size_t pending_bytes() const override { return call_->pending_bytes(); }

  void leave(absl::Status why) {
    stream_.reset();
    call_->finish(std::move(why));
  }

  Context& context_;
  const net::CallRef call_;
  // Gone with this object: what comes back later finds out by it.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<watch::WatchStream> stream_;  // null: the call has ended
  std::string prefix_;                          // empty: nothing was asked yet
  std::string leader_;                          // the key that is followed
  int64_t seen_ = 0;                            // events of the leader come from above here
  int64_t watch_ = 0;                           // the newest watcher's id
  bool following_ = false;                      // it is the leader's, not the line's
  Next next_ = Next::kNothing;                  // else a task is posted that does it
  LeaderBounds::Bound bound_;
};

class Observe final : public net::StreamHandler {
 public:
  explicit Observe(Context& context) : context_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
    context_.hold_until_token_known(call);
    return std::make_unique<ObserveCall>(context_, std::move(call));
  }

 private:
  Context& context_;
};

}  // namespace

std::unique_ptr<net::StreamHandler> register_observe(Context& context, net::Router& router,
                                                     net::MethodOptions max) {
  auto handler = std::make_unique<Observe>(context);
  router.stream("/v3electionpb.Election/Observe", net::MethodKind::kServerStream, handler.get(),
                max);
  return handler;
}

}  // namespace keelson::rpc
