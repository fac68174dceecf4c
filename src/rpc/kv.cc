// The KV service but for RangeStream. Reads run on the call's own lane, on a view of the store, or
// on workers when they are long; writes go through the log. Each call keeps its request for the
// lines of the log that may describe it: of what is proposed the part of the entry that it has
// become, so that it is in memory but once; of others, no more than a line has room for.

#include <string>
#include <utility>

#include "apply/decode.h"
#include "apply/quota.h"
#include "apply/txn.h"
#include "base/errors.h"
#include "rpc/canonical.h"
#include "rpc/checks.h"
#include "rpc/services.h"
#include "rpc/spans.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using wire::InternalKind;
using Right = Context::ReadRight;

class Range final : public Unary {
 public:
  explicit Range(Context& context) : Unary(context, Context::Learners::kServe) {}

 private:
  void run(net::CallRef call, Bytes bytes) override {
    Lane& lane = context_.lane(*call);
    pb::RangeRequest& request = lane.range_request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (!request.serializable() && context_.is_learner()) {
      return call->fail(errors::NotSupportedForLearner());
    }
    // Thousands may wait for a worker, and lines say no more of a longer one than its beginning.
    call->keep_request(bytes);
    if (absl::Status s = check(request); !s.ok()) return call->fail(std::move(s));
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request);
    MonotonicTime start = lane.loop.now();
    if (request.serializable()) return answer(lane, std::move(call), request, start);
    const Origin from = context_.origin(*call);
    const size_t size = bytes.size();
    lane.gateway->read(
        from, size,
        [this, call = std::move(call), bytes = std::move(bytes), start](absl::Status status) {
          Lane& lane = context_.lane(*call);
          if (!status.ok()) return fail(lane, *call, std::move(status), start);
          if (absl::Status s = apply::decode(bytes, &lane.range_request); !s.ok())
            return call->fail(std::move(s));
          answer(lane, std::move(call), lane.range_request, start);
        });
  }

  void fail(Lane& lane, net::ServerCall& call, absl::Status status, MonotonicTime start) {
    const Duration took = lane.loop.now() - start;
    if (RequestObserver* observer = context_.observer()) {
      observer->request_done(InternalKind::kRange, true, false, took);
    }
    context_.warn_slow_read(call, InternalKind::kRange, took, status);
    call.fail(std::move(status));
  }

  void answer(Lane& lane, net::CallRef call, const pb::RangeRequest& request, MonotonicTime start) {
    absl::StatusOr<Right> right = context_.may_read(*call, request.key(), request.range_end());
    if (!right.ok()) return fail(lane, *call, right.status(), start);
    mvcc::ReadBounds bounds = LongReads::try_bounds();
    absl::StatusOr<apply::Reply> reply =
        apply::run_range(context_.node().store().read(*lane.slot, &bounds), request);
    if (mvcc::is_not_here(reply.status())) {
      return answer_elsewhere(std::move(call), *right, bounds, request, start);
    }
    finish(call, *right, request, start, std::move(reply));
  }

  void answer_elsewhere(net::CallRef call, Right right, const mvcc::ReadBounds& bounds,
                        const pb::RangeRequest& request, MonotonicTime start) {
    auto kept = std::make_unique<pb::RangeRequest>(request);
    context_.long_reads().run(context_.origin(*call), call, bounds,
                              [this, call, right, kept = std::move(kept),
                               start](const mvcc::ReadView& view) mutable -> Task {
                                MonotonicTime began = context_.node().clock().now();
                                absl::StatusOr<apply::Reply> reply = apply::run_range(view, *kept);
                                return [this, call = std::move(call), right, kept = std::move(kept),
                                        start, began, reply = std::move(reply)]() mutable {
                                  finish(call, right, *kept, start, std::move(reply), &began);
                                };
                              });
  }

  void finish(const net::CallRef& call, Right right, const pb::RangeRequest& request,
              MonotonicTime start, absl::StatusOr<apply::Reply>&& reply,
              const MonotonicTime* began = nullptr) {
    Lane& lane = context_.lane(*call);
    lane.counts.add({.ranges = 1});
    // Seen under other rules than it was held against: again, if there are new ones for it.
    if (!context_.still_holds(lane, right)) return answer(lane, call, request, start);
    context_.read_done(*call, InternalKind::kRange, start, reply, began);
    if (!reply.ok()) return call->fail(reply.status());
    context_.answer(*call, *std::move(reply));
  }
};

class Put final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    mvcc::PutRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    call->keep_request(bytes);
    Lane& lane = context_.lane(*call);
    int64_t cost = apply::put_cost(request.key.size(), request.value.size());
    if (absl::Status s = context_.check_quota(lane, cost); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = check(request); !s.ok()) return call->fail(std::move(s));
    if (trace::CallTrace* trace = call->trace()) begin_put_span(*trace, request.key);
    if (is_canonical(bytes, request)) {
      return context_.propose(std::move(call), InternalKind::kPut, bytes, cost);
    }
    context_.propose(std::move(call), InternalKind::kPut, {canonical(request), bytes.size()}, cost);
  }
};

class DeleteRange final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::DeleteRangeRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    call->keep_request(bytes);
    if (absl::Status s = check(request); !s.ok()) return call->fail(std::move(s));
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request);
    if (is_canonical(bytes, request)) {
      return context_.propose(std::move(call), InternalKind::kDeleteRange, bytes);
    }
    context_.propose(std::move(call), InternalKind::kDeleteRange,
                     {canonical(request), bytes.size()});
  }
};

class Txn final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    auto request = std::make_unique<pb::TxnRequest>();
    if (absl::Status s = apply::decode(bytes, request.get()); !s.ok())
      return call->fail(std::move(s));
    call->keep_request(bytes);
    Lane& lane = context_.lane(*call);
    const int64_t cost = apply::txn_cost(*request);
    absl::Status status = context_.check_quota(lane, cost);
    if (status.ok()) status = check(*request, context_.limits().max_txn_ops);
    if (!status.ok()) return call->fail(std::move(status));
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, *request);
    if (!is_read_only(*request)) {
      const absl::StatusOr<bool> hidden = context_.hide_ranges(*call, *request);
      if (!hidden.ok()) return call->fail(hidden.status());
      if (!*hidden && is_canonical(bytes, *request)) {
        return context_.propose(std::move(call), InternalKind::kTxn, bytes, cost);
      }
      return context_.propose(std::move(call), InternalKind::kTxn,
                              {canonical(*request), bytes.size(), *hidden}, cost);
    }
    MonotonicTime start = lane.loop.now();
    if (is_serializable(*request)) return answer(std::move(call), std::move(request), start);
    const Origin from = context_.origin(*call);
    lane.gateway->read(from, bytes.size(),
                       [this, call = std::move(call), request = std::move(request),
                        start](absl::Status read) mutable {
                         if (!read.ok()) return call->fail(std::move(read));
                         answer(std::move(call), std::move(request), start);
                       });
  }

  // All of it on one view, which keeps compactions from removing what it shows.
  void answer(net::CallRef call, std::unique_ptr<pb::TxnRequest> request, MonotonicTime start) {
    absl::StatusOr<Right> right = context_.may_read(*call, *request);
    if (!right.ok()) return call->fail(right.status());
    mvcc::ReadBounds bounds = LongReads::try_bounds();
    apply::TxnOps ops;
    absl::StatusOr<apply::Reply> reply = apply::run_read_only_txn(
        context_.node().store().read(*context_.lane(*call).slot, &bounds), *request, ops);
    if (mvcc::is_not_here(reply.status())) {
      return answer_elsewhere(std::move(call), *right, bounds, std::move(request), start);
    }
    finish(call, *right, std::move(request), start, ops, std::move(reply));
  }

  void answer_elsewhere(net::CallRef call, Right right, const mvcc::ReadBounds& bounds,
                        std::unique_ptr<pb::TxnRequest> request, MonotonicTime start) {
    context_.long_reads().run(
        context_.origin(*call), call, bounds,
        [this, call, right, request = std::move(request),
         start](const mvcc::ReadView& view) mutable -> Task {
          MonotonicTime began = context_.node().clock().now();
          apply::TxnOps ops;
          absl::StatusOr<apply::Reply> reply = apply::run_read_only_txn(view, *request, ops);
          return [this, call = std::move(call), right, request = std::move(request), start, began,
                  ops, reply = std::move(reply)]() mutable {
            finish(call, right, std::move(request), start, ops, std::move(reply), &began);
          };
        });
  }

  void finish(const net::CallRef& call, Right right, std::unique_ptr<pb::TxnRequest> request,
              MonotonicTime start, const apply::TxnOps& ops, absl::StatusOr<apply::Reply>&& reply,
              const MonotonicTime* began = nullptr) {
    Lane& lane = context_.lane(*call);
    lane.counts.add(ops);
    // Seen under other rules than it was held against: again, if there are new ones for it.
    if (!context_.still_holds(lane, right)) return answer(call, std::move(request), start);
    context_.read_done(*call, InternalKind::kTxn, start, reply, began);
    if (!reply.ok()) return call->fail(reply.status());
    context_.answer(*call, *std::move(reply));
  }
};

class Compact final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::CompactionRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request);
    const std::string entry = canonical(request);
    if (!request.physical()) {
      return context_.propose(std::move(call), InternalKind::kCompaction, {entry, bytes.size()});
    }
    context_.propose_for(call, InternalKind::kCompaction, {entry, bytes.size()}, 0,
                         [this, call, start = context_.lane(*call).loop.now()](apply::Reply reply) {
                           context_.proposal_done(context_.lane(*call), InternalKind::kCompaction,
                                                  start, reply.status.ok());
                           if (!reply.status.ok()) return call->fail(std::move(reply.status));
                           answer_when_done(call);
                         });
  }

  // Physical: the answer waits until the revisions are gone and a crash cannot bring them back.
  void answer_when_done(net::CallRef call) {
    // The backend's thread may outlive the services; the loops do not.
    context_.node().when_compacted([this, call](absl::Status done) {
      if (!done.ok()) return net::ServerCall::fail_later(call, std::move(done));
      call->loop().post([this, call] { call->respond(context_.respond(0, {})); });
    });
  }
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_kv(Context& context, net::Router& router,
                                                            net::MethodOptions max) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view path, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(path, handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("/etcdserverpb.KV/Range", std::make_unique<Range>(context));
  add("/etcdserverpb.KV/Put", std::make_unique<Put>(context));
  add("/etcdserverpb.KV/DeleteRange", std::make_unique<DeleteRange>(context));
  add("/etcdserverpb.KV/Txn", std::make_unique<Txn>(context));
  add("/etcdserverpb.KV/Compact", std::make_unique<Compact>(context));
  return made;
}

}  // namespace keelson::rpc
