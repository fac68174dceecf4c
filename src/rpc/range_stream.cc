// KV.RangeStream: a range in chunks, all at one revision. The chunk grows or shrinks towards the
// request limit in bytes; the header, `more` and the count come with the last one. A chunk is one
// read: on the lane when it is short, else on a worker, and the next one begins when it is back.
// Source: etcd v3.7.1, server/etcdserver/v3_server.go (rangeStream, adjustChunkLimit).

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "apply/body.h"
#include "apply/decode.h"
#include "apply/txn.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/protobuf.h"
#include "rpc/checks.h"
#include "rpc/services.h"
#include "rpc/spans.h"

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
  RangeStreamCall(Context& context, net::CallRef call) : context_(context), call_(std::move(call)) {
    context_.lane(*call_).leader_bounds->bind(
        *call_, [this] { call_->finish(errors::NoLeader()); }, &bound_);
  }

  void on_message(Bytes bytes) override {
    if (absl::Status s = apply::decode(bytes, &request_); !s.ok()) return call_->fail(std::move(s));
    if (absl::Status s = check_range_stream(request_); !s.ok()) return call_->fail(std::move(s));
    if (trace::CallTrace* trace = call_->trace()) begin_stream_span(*trace, request_);
    if (request_.serializable()) return begin();
    context_.lane(*call_).gateway->read(
        context_.origin(*call_),
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
  // What one read found.
  struct Chunk {
    absl::Status status;
    mvcc::RangeResult found;
    int64_t beyond = 0;  // keys behind the last chunk, which the limit cut off
  };

  void begin() {
    absl::StatusOr<Context::ReadRight> right =
        context_.may_read(*call_, request_.key(), request_.range_end());
    if (!right.ok()) return call_->fail(right.status());
    right_ = *right;
    started_ = true;
    most_ = request_.limit() > 0 ? request_.limit() : INT64_MAX;
    chunk_ = std::min(kFirstChunk, most_);
    pump();
  }

  void pump() {
    while (!finished_ && !reading_ && !call_->over() && call_->pending_bytes() < kMostPending) {
      read();
    }
  }

  // Each read has a view of its own: the next one may be told that its revision has been compacted
  // meanwhile, as etcd's clients are.
  void read() {
    Lane& lane = context_.lane(*call_);
    lane.counts.add({.ranges = 1});
    KEELSON_FAILPOINT("rpc_before_chunk");
    mvcc::ReadBounds bounds = LongReads::try_bounds();
    Chunk chunk = read_chunk(context_.node().store().read(*lane.slot, &bounds), next());
    if (!mvcc::is_not_here(chunk.status)) return take(std::move(chunk));
    reading_ = true;
    context_.long_reads().run(context_.origin(*call_), call_, bounds,
                              [this, next = next(), alive = std::weak_ptr<bool>(alive_)](
                                  const mvcc::ReadView& view) -> Task {
                                // Not a look at this object, which may be gone: it is only looked
                                // at on the loop.
                                return [this, alive, chunk = read_chunk(view, next)]() mutable {
                                  if (alive.expired()) return;
                                  reading_ = false;
                                  take(std::move(chunk));
                                  pump();
                                };
                              });
  }

  // What the next chunk is of; a value, as a worker may read it.
  struct Wanted {
    std::string key, end;
    mvcc::RangeOptions options;
    bool is_last;  // the client's limit ends with this chunk
  };

  Wanted next() const {
    Wanted wanted{request_.key(), request_.range_end(), apply::range_options(request_), false};
    if (request_.count_only()) return wanted;
    wanted.options.limit = chunk_;
    wanted.options.revision = revision_ == 0 ? request_.revision() : revision_;
    wanted.options.total_count = false;
    wanted.is_last = sent_ + chunk_ >= most_;
    return wanted;
  }

  static Chunk read_chunk(const mvcc::ReadView& view, const Wanted& wanted) {
    Chunk chunk;
    absl::StatusOr<mvcc::RangeResult> found = view.range(wanted.key, wanted.end, wanted.options);
    if (!found.ok()) {
      chunk.status = found.status();
      return chunk;
    }
    chunk.found = *std::move(found);
    if (!wanted.is_last || !chunk.found.more) return chunk;
    mvcc::RangeOptions count = wanted.options;
    if (count.revision == 0) count.revision = chunk.found.revision;
    count.limit = 0;
    count.count_only = true;
    count.total_count = true;
    absl::StatusOr<mvcc::RangeResult> rest =
        view.range(key_after(chunk.found.kvs.back()), wanted.end, count);
    chunk.status = rest.status();
    if (rest.ok()) chunk.beyond = rest->count;
    return chunk;
  }

  void take(Chunk chunk) {
    if (finished_ || call_->over()) return;
    if (!chunk.status.ok()) {
      finished_ = true;
      return call_->fail(std::move(chunk.status));
    }
    if (request_.count_only()) return send_count(chunk.found);
    if (header_revision_ == 0) {
      header_revision_ = chunk.found.revision;
      revision_ = request_.revision() > 0 ? request_.revision() : header_revision_;
    }
    sent_ += static_cast<int64_t>(chunk.found.kvs.size());
    if (chunk.found.more && sent_ < most_) return send_part(chunk.found);
    chunk.found.count = sent_ + chunk.beyond;
    send(context_.respond(header_revision_, apply::range_body(chunk.found)));
    finish();
  }

  void send_count(const mvcc::RangeResult& found) {
    mvcc::RangeResult only_count;
    only_count.count = found.count;
    send(context_.respond(found.revision, apply::range_body(only_count)));
    finish();
  }

  void send_part(const mvcc::RangeResult& chunk) {
    CHECK(!chunk.kvs.empty());
    request_.set_key(key_after(chunk.kvs.back()));
    Parts body = apply::range_part_body(chunk);
    adapt(body.size());
    send(std::move(body));
  }

  static std::string key_after(const Bytes& kv) {
    mvcc::KeyValueView view;
    CHECK(mvcc::decode_key_value(kv, &view));
    return std::string(view.key) + '\0';
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

  // All of it is of the first chunk's revision; but the rules may have changed before that.
  void finish() {
    finished_ = true;
    const bool held = context_.still_holds(context_.lane(*call_), right_);
    call_->finish(held ? absl::OkStatus() : errors::AuthOldRevision());
  }

  Context& context_;
  const net::CallRef call_;
  // Gone with this object: a read that comes back later finds out by it.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  pb::RangeRequest request_;
  Context::ReadRight right_;
  bool started_ = false;
  bool reading_ = false;  // a worker reads the next chunk
  bool finished_ = false;
  int64_t most_ = 0;   // keys to send in all
  int64_t chunk_ = 0;  // keys in the next chunk
  int64_t sent_ = 0;
  int64_t revision_ = 0;         // pinned by the first chunk
  int64_t header_revision_ = 0;  // the store's at the first chunk
  LeaderBounds::Bound bound_;
};

class RangeStream final : public net::StreamHandler {
 public:
  explicit RangeStream(Context& context) : context_(context) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (absl::Status s = context_.admit(*call, true); !s.ok()) call->fail(std::move(s));
    context_.hold_until_token_known(call);
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
