// KV.RangeStream: a range in chunks, all at one revision. The chunk grows or shrinks towards the
// request limit in bytes; the header, `more` and the count come with the last one.
// Source: etcd v3.7.1, server/etcdserver/v3_server.go (rangeStream, adjustChunkLimit).

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "apply/body.h"
#include "apply/decode.h"
#include "apply/txn.h"
#include "base/check.h"
#include "base/protobuf.h"
#include "rpc/checks.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
namespace field = keelson::pb;

constexpr int64_t kFirstChunk = 10;
// Chunks wait in the connection at most to this many bytes; then the client's reading sets the
// pace.
constexpr size_t kMostPending = 1 << 20;

class RangeStreamCall final : public net::StreamReceiver {
 public:
  RangeStreamCall(Context& context, net::CallRef call)
      : context_(context), call_(std::move(call)) {}

  void on_message(Bytes bytes) override {
    if (absl::Status s = apply::decode(bytes, &request_); !s.ok()) return call_->fail(std::move(s));
    if (absl::Status s = check_range_stream(request_); !s.ok()) return call_->fail(std::move(s));
    if (request_.serializable()) return begin();
    context_.lane(*call_).gateway->read(
        [this, call = call_, alive = std::weak_ptr<bool>(alive_)](absl::Status status) {
          if (alive.expired()) return;
          if (!status.ok()) return call->fail(std::move(status));
          begin();
        });
  }

  void on_writable() override {
    if (started_) pump();
  }

 private:
  void begin() {
    started_ = true;
    if (request_.count_only()) return send_count();
    most_ = request_.limit() > 0 ? request_.limit() : INT64_MAX;
    chunk_ = std::min(kFirstChunk, most_);
    pump();
  }

  // Held for a chunk: the next one may be told that its revision has been compacted meanwhile, as
  // etcd's clients are.
  mvcc::ReadView view() { return context_.node().store().read(*context_.lane(*call_).slot); }

  void send_count() {
    context_.lane(*call_).counts.add({.ranges = 1});
    absl::StatusOr<mvcc::RangeResult> found =
        view().range(request_.key(), request_.range_end(), apply::range_options(request_));
    if (!found.ok()) return call_->fail(found.status());
    mvcc::RangeResult only_count;
    only_count.count = found->count;
    send(context_.respond(found->revision, apply::range_body(only_count)));
    finish();
  }

  void pump() {
    while (!finished_ && !call_->over() && call_->pending_bytes() < kMostPending) {
      if (absl::Status s = send_chunk(); !s.ok()) {
        finished_ = true;
        return call_->fail(std::move(s));
      }
    }
  }

  absl::Status send_chunk() {
    mvcc::RangeOptions options = apply::range_options(request_);
    options.limit = chunk_;
    options.revision = revision_;
    options.total_count = false;
    if (revision_ == 0) options.revision = request_.revision();
    context_.lane(*call_).counts.add({.ranges = 1});
    mvcc::ReadView now = view();
    absl::StatusOr<mvcc::RangeResult> found =
        now.range(request_.key(), request_.range_end(), options);
    if (!found.ok()) return found.status();
    if (header_revision_ == 0) {
      header_revision_ = found->revision;
      revision_ = request_.revision() > 0 ? request_.revision() : header_revision_;
    }
    sent_ += static_cast<int64_t>(found->kvs.size());
    if (found->more && sent_ < most_) {
      send_part(*std::move(found));
      return absl::OkStatus();
    }
    return send_last(now, *std::move(found), options);
  }

  void send_part(mvcc::RangeResult chunk) {
    advance_past(chunk.kvs.back());
    chunk.more = false;
    chunk.count = 0;
    Parts body = apply::range_body(chunk);
    adapt(body.size());
    send(std::move(body));
  }

  absl::Status send_last(const mvcc::ReadView& now, mvcc::RangeResult chunk,
                         mvcc::RangeOptions options) {
    chunk.count = sent_;
    if (chunk.more) {
      advance_past(chunk.kvs.back());
      options.limit = 0;
      options.count_only = true;
      options.total_count = true;
      absl::StatusOr<mvcc::RangeResult> rest =
          now.range(request_.key(), request_.range_end(), options);
      if (!rest.ok()) return rest.status();
      chunk.count += rest->count;
    }
    send(context_.respond(header_revision_, apply::range_body(chunk)));
    finish();
    return absl::OkStatus();
  }

  void advance_past(const Bytes& kv) {
    mvcc::KeyValueView view;
    CHECK(mvcc::decode_key_value(kv, &view));
    request_.set_key(std::string(view.key) + '\0');
  }

  void adapt(size_t bytes) {
    size_t target = context_.limits().max_request_bytes;
    if (bytes < target / 2) chunk_ *= 2;
    if (bytes > target * 2) chunk_ = std::max<int64_t>(chunk_ / 2, 1);
    chunk_ = std::min(chunk_, most_ - sent_);
  }

  // RangeStreamResponse: range_response = 1.
  void send(Parts range_response) {
    std::string head;
    field::append_bytes_head(head, 1, range_response.size());
    Parts message = Parts::copy(head);
    message.add(std::move(range_response));
    call_->send(std::move(message));
  }

  void finish() {
    finished_ = true;
    call_->finish(absl::OkStatus());
  }

  Context& context_;
  const net::CallRef call_;
  // Gone with this object: a read that comes back later finds out by it.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  pb::RangeRequest request_;
  bool started_ = false;
  bool finished_ = false;
  int64_t most_ = 0;   // keys to send in all
  int64_t chunk_ = 0;  // keys in the next chunk
  int64_t sent_ = 0;
  int64_t revision_ = 0;         // pinned by the first chunk
  int64_t header_revision_ = 0;  // the store's at the first chunk
};

class RangeStream final : public net::StreamHandler {
 public:
  explicit RangeStream(Context& context) : context_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
    return std::make_unique<RangeStreamCall>(context_, std::move(call));
  }

 private:
  Context& context_;
};

}  // namespace

std::unique_ptr<net::StreamHandler> register_range_stream(Context& context, net::Router& router,
                                                          net::MethodOptions max) {
  auto handler = std::make_unique<RangeStream>(context);
  router.stream("/etcdserverpb.KV/RangeStream", net::MethodKind::kServerStream, handler.get(), max);
  return handler;
}

}  // namespace keelson::rpc
