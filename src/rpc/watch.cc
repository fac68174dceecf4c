// The Watch service: a client's stream between the connection and the lane's watch engine.

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "apply/decode.h"
#include "base/errors.h"
#include "rpc/services.h"
#include "rpc/spans.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;

// Why a watch is not begun, as etcd's clients read it: errors there as Go prints them. What is not
// of these three is a denial.
std::string_view reason_of(const absl::Status& refused) {
  if (refused == errors::InvalidAuthToken()) {
    return "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
  }
  if (refused == errors::AuthOldRevision()) {
    return "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old";
  }
  if (refused == errors::UserEmpty()) {
    return "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
  }
  return "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
}

class WatchCall final : public net::StreamReceiver, private watch::WatchSink {
 public:
  WatchCall(Context& context, net::CallRef call)
      : context_(context),
        call_(std::move(call)),
        stream_(context.lane(*call_).watches->open(*this)) {
    context.lane(*call_).leader_bounds->bind(
        *call_, [this] { leave(errors::NoLeader()); }, &bound_);
    call_->send_headers();
  }

  void on_message(Bytes bytes) override {
    if (absl::Status s = apply::decode(bytes, &request_); !s.ok()) return call_->fail(std::move(s));
    switch (request_.request_union_case()) {
      case pb::WatchRequest::kCreateRequest:
        create(request_.create_request());
        break;
      case pb::WatchRequest::kCancelRequest:
        stream_->cancel(request_.cancel_request().watch_id());
        spans_.erase(request_.cancel_request().watch_id());
        break;
      case pb::WatchRequest::kProgressRequest:
        stream_->request_progress();
        break;
      case pb::WatchRequest::REQUEST_UNION_NOT_SET:
        break;
    }
    // A client that only asks and never reads is held back by its window.
    if (stream_->congested()) call_->set_reading(false);
  }

  // A client that will ask no more still gets its events, as from etcd, until it goes.
  void on_half_close() override {}

  void on_cancel() override { stream_.reset(); }

  // etcd's clients open the watch again, at the revision after the last one they saw.
  void on_drain() override { leave(errors::Stopped()); }

  void on_writable() override {
    if (!stream_) return;
    stream_->on_writable();
    if (!stream_->congested()) call_->set_reading(true);
  }

 private:
  // Held against the rules once, as in etcd: a watch goes on when they change.
  void create(const pb::WatchCreateRequest& request) {
    if (request.start_revision() >= 0) {
      const std::string first = request.key().empty() ? std::string(1, '\0') : request.key();
      absl::Status may = context_.may_read(*call_, first, request.range_end()).status();
      if (!may.ok()) return stream_->refuse(reason_of(may));
    }
    auto has = [&](pb::WatchCreateRequest::FilterType type) {
      return std::find(request.filters().begin(), request.filters().end(), type) !=
             request.filters().end();
    };
    const std::optional<int64_t> id =
        stream_->create({.key = request.key(),
                         .range_end = request.range_end(),
                         .start_revision = request.start_revision(),
                         .progress_notify = request.progress_notify(),
                         .no_put = has(pb::WatchCreateRequest::NOPUT),
                         .no_delete = has(pb::WatchCreateRequest::NODELETE),
                         .prev_kv = request.prev_kv(),
                         .watch_id = request.watch_id(),
                         .fragment = request.fragment()});
    trace::CallTrace* trace = call_->trace();
    if (trace && id && spans_.size() < kMostSpans) spans_[*id] = make_span(*trace, request);
  }

  void leave(absl::Status why) {
    stream_.reset();
    call_->finish(std::move(why));
  }

  void send(Parts response) override { call_->send(std::move(response)); }
  size_t pending_bytes() const override { return call_->pending_bytes(); }

  Context& context_;
  const net::CallRef call_;
  pb::WatchRequest request_;
  std::unique_ptr<watch::WatchStream> stream_;
  // Of watchers, if the stream is sampled: each until it is cancelled, or the stream ends. Of the
  // first kMostSpans alone, as they cost far more than the requests for them.
  static constexpr size_t kMostSpans = 64;
  std::map<int64_t, trace::SpanPtr> spans_;
  LeaderBounds::Bound bound_;
};

class Watch final : public net::StreamHandler {
 public:
  explicit Watch(Context& context) : context_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
    context_.hold_until_token_known(call);
    return std::make_unique<WatchCall>(context_, std::move(call));
  }

 private:
  Context& context_;
};

}  // namespace

std::unique_ptr<net::StreamHandler> register_watch(Context& context, net::Router& router,
                                                   net::MethodOptions max) {
  auto handler = std::make_unique<Watch>(context);
  router.stream("/etcdserverpb.Watch/Watch", net::MethodKind::kBidiStream, handler.get(), max);
  return handler;
}

}  // namespace keelson::rpc
