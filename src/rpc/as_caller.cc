#include "rpc/as_caller.h"

#include <memory>
#include <utility>

#include "apply/quota.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/text.h"
#include "rpc/checks.h"
#include "rpc/spans.h"

namespace keelson::rpc {
namespace {

using wire::InternalKind;

// A read on its way between lane and workers.
struct Reading {
  Context& context;
  net::CallRef call;
  CallerRange range;
  CallerDone<mvcc::RangeResult> done;
  MonotonicTime start;
};
using ReadingPtr = std::shared_ptr<Reading>;

void read(ReadingPtr reading);

// As etcd's Lock and Election ask for it.
etcdserverpb::RangeRequest request_of(const CallerRange& range) {
  etcdserverpb::RangeRequest request;
  request.set_key(range.key);
  request.set_range_end(range.end);
  request.set_limit(range.options.limit);
  request.set_revision(range.options.revision);
  return request;
}

// What was done for the call is done, and more may follow.
void end_span(net::ServerCall& call) {
  if (trace::CallTrace* trace = call.trace()) trace->work_done();
}

void finish(const ReadingPtr& reading, Context::ReadRight right,
            absl::StatusOr<mvcc::RangeResult> found) {
  Lane& lane = reading->context.lane(*reading->call);
  lane.counts.add({.ranges = 1});
  // Seen under other rules than it was held against: again, if there are new ones for it.
  if (!reading->context.still_holds(lane, right)) return read(reading);
  if (RequestObserver* observer = reading->context.observer()) {
    observer->request_done(InternalKind::kRange, true, found.ok(),
                           lane.loop.now() - reading->start);
  }
  end_span(*reading->call);
  reading->done(std::move(found));
}

void read(ReadingPtr reading) {
  Context& context = reading->context;
  net::CallRef call = reading->call;
  if (call->over()) return;
  absl::StatusOr<Context::ReadRight> right =
      context.may_read(*call, reading->range.key, reading->range.end);
  if (!right.ok()) return reading->done(right.status());
  auto run = [reading](const mvcc::ReadView& view) {
    return view.range(reading->range.key, reading->range.end, reading->range.options);
  };
  mvcc::ReadBounds bounds = LongReads::try_bounds();
  absl::StatusOr<mvcc::RangeResult> found =
      run(context.node().store().read(*context.lane(*call).slot, &bounds));
  if (!mvcc::is_not_here(found.status())) return finish(reading, *right, std::move(found));
  const bool taken = context.long_reads().offer(
      context.origin(*call), call,
      [reading, run, right = *right](const mvcc::ReadView& view) -> Task {
        return [reading, right, found = run(view)]() mutable {
          if (!reading->call->over()) finish(reading, right, std::move(found));
        };
      });
  if (!taken) reading->done(errors::RequestTooManyRequests());
}

}  // namespace

absl::Status client_error(const absl::Status& status) {
  return absl::UnknownError(to_absl(message_of(status)));
}

void txn_as_caller(Context& context, net::CallRef call, const etcdserverpb::TxnRequest& txn,
                   CallerDone<TxnAnswer> done) {
  Lane& lane = context.lane(*call);
  const int64_t cost = apply::txn_cost(txn);
  absl::Status status = context.check_quota(lane, cost);
  if (status.ok()) status = check(txn, context.limits().max_txn_ops);
  if (!status.ok()) return done(std::move(status));
  if (trace::CallTrace* trace = call->trace()) begin_span(*trace, txn);
  const MonotonicTime start = lane.loop.now();
  context.propose_for(
      call, InternalKind::kTxn, txn.SerializeAsString(), cost,
      [&context, call, &lane, start, done = std::move(done)](apply::Reply reply) mutable {
        context.proposal_done(lane, InternalKind::kTxn, start, reply.status.ok());
        end_span(*call);
        if (!reply.status.ok()) return done(std::move(reply.status));
        TxnAnswer answer{.revision = reply.revision};
        CHECK(answer.response.ParseFromString(reply.body.flat()));
        if (answer.revision == 0) answer.revision = context.node().store().revision();
        done(std::move(answer));
      });
}

void grant_as_caller(Context& context, net::CallRef call, int64_t ttl_seconds,
                     CallerDone<int64_t> done) {
  Lane& lane = context.lane(*call);
  if (absl::Status s = context.check_quota(lane, apply::kLeaseCost); !s.ok()) return done(s);
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(ttl_seconds);
  while (request.id() == 0) request.set_id(static_cast<int64_t>(lane.ids.next() & INT64_MAX));
  if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request);
  if (absl::Status s = context.require_user(*call); !s.ok()) return done(s);
  const MonotonicTime start = lane.loop.now();
  context.propose_for(
      call, InternalKind::kLeaseGrant, request.SerializeAsString(), apply::kLeaseCost,
      [&context, call, &lane, start, id = request.id(),
       done = std::move(done)](apply::Reply reply) mutable {
        context.proposal_done(lane, InternalKind::kLeaseGrant, start, reply.status.ok());
        end_span(*call);
        if (!reply.status.ok()) return done(std::move(reply.status));
        done(id);
      });
}

void range_as_caller(Context& context, net::CallRef call, CallerRange range,
                     CallerDone<mvcc::RangeResult> done) {
  Lane& lane = context.lane(*call);
  const bool linearizable = range.linearizable;
  const Origin from = context.origin(*call);
  if (trace::CallTrace* trace = call->trace()) begin_span(*trace, request_of(range));
  auto reading = std::make_shared<Reading>(
      Reading{context, std::move(call), std::move(range), std::move(done), lane.loop.now()});
  if (!linearizable) return read(std::move(reading));
  lane.gateway->read(from, [reading = std::move(reading)](absl::Status status) mutable {
    if (!status.ok()) return reading->done(std::move(status));
    read(std::move(reading));
  });
}

CallerRange below(std::string prefix) {
  CHECK(prefix.ends_with('/'));
  std::string end = prefix;
  end.back() = '/' + 1;
  return {.key = std::move(prefix), .end = std::move(end)};
}

CallerRange first_below(std::string prefix) {
  CallerRange range = below(std::move(prefix));
  range.linearizable = true;
  range.options.limit = 1;
  range.options.sort_order = mvcc::SortOrder::kAscend;
  range.options.sort_target = mvcc::SortTarget::kCreate;
  return range;
}

}  // namespace keelson::rpc
