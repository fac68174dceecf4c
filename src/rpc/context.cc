#include "rpc/context.h"

#include <algorithm>
#include <utility>

#include "apply/hidden_ranges.h"
#include "apply/request_text.h"
#include "apply/slow_request.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "net/client_number.h"
#include "rpc/spans.h"
#include "rpc/watch_source.h"

namespace keelson::rpc {
namespace {

// Continuation bytes follow their heads and nothing else; all etcd asks of a version text.
bool is_utf8(std::string_view text) {
  int follow = 0;
  for (unsigned char c : text) {
    if (follow > 0) {
      if ((c & 0xc0) != 0x80) return false;
      --follow;
    } else if (c >= 0x80) {
      if ((c & 0xe0) == 0xc0)
        follow = 1;
      else if ((c & 0xf0) == 0xe0)
        follow = 2;
      else if ((c & 0xf8) == 0xf0)
        follow = 3;
      else
        return false;
    }
  }
  return follow == 0;
}

// etcd's spans tell of errors ahead of the log, but not of these two kinds'.
std::string_view told_error(wire::InternalKind kind, const absl::Status& status) {
  const bool told =
      kind != wire::InternalKind::kCompaction && kind != wire::InternalKind::kAuthenticate;
  return told ? message_of(status) : std::string_view();
}

}  // namespace

Context::Context(node::Node& node, net::LoopPool& loops, watch::EventFeed& feed,
                 const watch::WatchOptions& watch_options, Limits limits, AuthSettings auth,
                 uint64_t seed, RequestObserver* observer)
    : node_(node),
      limits_(limits),
      access_(node.auth(), node.clock(), std::move(auth)),
      observer_(observer),
      long_reads_(node.store(), loops),
      // Whoever copies a database has time: everybody else goes first.
      snapshot_workers_({.name = "send-snapshot", .threads = 2, .niceness = 10}) {
  for (int i = 0; i < loops.size(); ++i) {
    net::Loop& loop = loops.at(i);
    auto lane = std::make_unique<Lane>(loop, node.request_ids());
    lane->gateway = node.add_gateway(loop);
    lane->slot = node.store().register_reader();
    lane->random = std::make_unique<SeededRandom>(seed + static_cast<uint64_t>(i));
    lane->watch_source = make_watch_source(node, *lane->slot, long_reads_);
    lane->watches = std::make_unique<watch::LaneWatches>(loop, feed, *lane->watch_source,
                                                         *lane->random, watch_options);
    lane->deletions = std::make_unique<DeletionWatches>(loop, *lane->watches);
    lane->leader_bounds =
        std::make_unique<LeaderBounds>(loop, node.state(), limits.election_timeout);
    loop.after_batch([gateway = lane->gateway] { gateway->flush(); });
    lanes_.push_back(std::move(lane));
  }
}

Context::~Context() { stop_workers(); }

void Context::leave_former_store() {
  for (const auto& lane : lanes_) {
    lane->loop.post([this, &lane = *lane] { leave_former_store(lane); });
  }
  long_reads_.leave_former_store();
}

// What an answer that is being sent still holds goes with it, and that may take a client minutes.
void Context::leave_former_store(Lane& lane) {
  if (node_.store().follow(*lane.slot)) return;
  lane.loop.post_after(std::chrono::seconds(1), [this, &lane] { leave_former_store(lane); });
}

void Context::stop_workers() {
  long_reads_.stop();
  snapshot_workers_.stop();
  logins_.stop();
}

void Context::end_waits() {
  for (auto& lane : lanes_) lane->loop.post([&on = *lane] { on.deletions->close(); });
}

absl::Status Context::admit(net::ServerCall& call, bool stream, Learners learners) {
  if (learners == Learners::kRefuse && is_learner()) return errors::NotSupportedForLearner();
  std::string_view version = call.metadata("client-api-version").value_or("");
  if (!is_utf8(version)) return errors::InvalidClientAPIVersion();
  if (observer_) observer_->client_request(stream, version);
  if (node_.state().leader.load(std::memory_order_relaxed) == 0 &&
      call.metadata("hasleader") == "true") {
    return errors::NoLeader();
  }
  return absl::OkStatus();
}

absl::Status Context::check_quota(Lane& lane, int64_t cost) {
  if (cost == 0 || limits_.quota_bytes == UINT64_MAX) return absl::OkStatus();
  if (node_.backend()->has_room(static_cast<uint64_t>(cost), limits_.quota_bytes)) {
    return absl::OkStatus();
  }
  if (!node_.alarms().no_space()) raise_no_space(lane);
  return errors::NoSpace();
}

// The member's own, so who floods must not make one for each request that is refused.
void Context::raise_no_space(Lane& lane) {
  if (raising_alarm_.exchange(true, std::memory_order_relaxed)) return;
  etcdserverpb::AlarmRequest alarm;
  alarm.set_memberid(node_.member().value);
  alarm.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  alarm.set_alarm(etcdserverpb::NOSPACE);
  propose(lane, {}, wire::InternalKind::kAlarm, alarm.SerializeAsString(), 0,
          [this](apply::Reply reply) {
            CHECK(raising_alarm_.exchange(false, std::memory_order_relaxed));
            if (reply.status.ok() || !take_line(lines_, kUsualLine)) return;
            log::warn("could not raise the NOSPACE alarm", {{"error", message_of(reply.status)}});
          });
}

Parts Context::respond_with(int64_t revision, bool with_revision, Parts body) {
  if (with_revision && revision == 0) revision = node_.store().revision();
  uint64_t cluster = node_.cluster().value;
  uint64_t member = node_.member().value;
  uint64_t term = node_.state().term.load(std::memory_order_relaxed);
  size_t header = pb::varint_field_size(1, cluster) + pb::varint_field_size(2, member) +
                  pb::varint_field_size(3, static_cast<uint64_t>(revision)) +
                  pb::varint_field_size(4, term);
  Parts out(Bytes::build(pb::bytes_field_size(1, header), [&](char* at) {
    at = pb::write_bytes_head(at, 1, header);
    at = pb::write_varint_field(at, 1, cluster);
    at = pb::write_varint_field(at, 2, member);
    at = pb::write_varint_field(at, 3, static_cast<uint64_t>(revision));
    pb::write_varint_field(at, 4, term);
  }));
  out.add(std::move(body));
  return out;
}

Parts Context::respond(int64_t revision, Parts body) {
  return respond_with(revision, true, std::move(body));
}

Parts Context::respond_without_revision(Parts body) {
  return respond_with(0, false, std::move(body));
}

Origin Context::origin(const net::ServerCall& call) {
  if (rules(lane(call)).enabled()) {
    if (absl::StatusOr<auth::Identity> asks = who(call); asks.ok()) return origin(call, *asks);
  }
  return origin(call, {});
}

Origin Context::origin(const net::ServerCall& call, const auth::Identity& asks) {
  const net::PeerInfo& peer = call.peer();
  return {asks.user.empty() ? peer.client : net::client_of_user(asks.user), peer.connection};
}

void Context::submit(Lane& lane, Origin from, Entry entry,
                     absl::AnyInvocable<void(apply::Reply)> done) {
  if (entry.bytes.size() > limits_.max_request_bytes) return done({errors::RequestTooLarge()});
  CHECK(entry.cost >= 0);
  using Space = node::Gateway::Space;
  const Space space = entry.cost > 0                                   ? Space::kTaken
                      : entry.kind == wire::InternalKind::kLeaseRevoke ? Space::kRevoked
                                                                       : Space::kSpared;
  lane.gateway->propose(from, entry.id, std::move(entry.bytes), space, std::move(done),
                        entry.hidden);
}

void Context::submit_for(net::CallRef call, Origin from, Entry entry,
                         absl::AnyInvocable<void(apply::Reply)> done) {
  Lane& on = lane(*call);
  if (!call->trace()) return submit(on, from, std::move(entry), std::move(done));
  auto waits = std::make_shared<bool>(true);
  const wire::InternalKind kind = entry.kind;
  submit(on, from, std::move(entry),
         [call, kind, waits, done = std::move(done)](apply::Reply reply) mutable {
           *waits = false;
           if (trace::CallTrace* trace = call->trace()) {
             trace->answered(is_applied(reply.status), told_error(kind, reply.status));
           }
           done(std::move(reply));
         });
  if (trace::CallTrace* trace = call->trace(); trace && *waits) trace->proposed();
}

void Context::propose(Lane& lane, Origin from, wire::InternalKind kind, std::string_view request,
                      int64_t cost, absl::AnyInvocable<void(apply::Reply)> done) {
  const uint64_t id = lane.ids.next();
  submit(lane, from, {kind, id, wire::wrap_internal(id, {}, 0, kind, request), cost},
         std::move(done));
}

void Context::propose_for_nobody(net::CallRef call, wire::InternalKind kind,
                                 std::string_view request,
                                 absl::AnyInvocable<void(apply::Reply)> done) {
  const uint64_t id = lane(*call).ids.next();
  const Origin from = origin(*call);
  submit_for(std::move(call), from, {kind, id, wire::wrap_internal(id, {}, 0, kind, request)},
             std::move(done));
}

void Context::propose_as(Lane& lane, Origin from, std::string_view user, wire::InternalKind kind,
                         std::string_view request, absl::AnyInvocable<void(apply::Reply)> done) {
  const uint64_t id = lane.ids.next();
  const uint64_t revision = user.empty() ? 0 : rules(lane).revision();
  submit(lane, from, {kind, id, wire::wrap_internal(id, user, revision, kind, request)},
         std::move(done));
}

void Context::propose_for(net::CallRef call, wire::InternalKind kind, const Encoded& request,
                          int64_t cost, absl::AnyInvocable<void(apply::Reply)> done) {
  Lane& on = lane(*call);
  auto refuse = [&](absl::Status why) {
    if (trace::CallTrace* trace = call->trace()) trace->answered(false, told_error(kind, why));
    done({std::move(why)});
  };
  absl::StatusOr<auth::Identity> asks = who(*call);
  if (!asks.ok()) return refuse(asks.status());
  const uint64_t id = on.ids.next();
  const Origin from = origin(*call, *asks);
  Entry entry{kind, id, wire::wrap_internal(id, asks->user, asks->revision, kind, request.bytes),
              cost, request.hidden};
  if (entry.bytes.size() + request.left_out() > limits_.max_request_bytes) {
    return refuse(errors::RequestTooLarge());
  }
  // In place of the client's bytes, which need not be kept beside their copy in the entry.
  if (call->kept_request()) {
    call->keep_whole_request(wire::wrapped_request(entry.bytes, kind, request.bytes.size()));
  }
  if (asks->revision == 0) {
    return submit_for(std::move(call), from, std::move(entry), std::move(done));
  }
  // The lambda shares the entry, which is kept for the log anyway.
  submit_for(call, from, entry,
             [this, call, entry, revision = asks->revision,
              done = std::move(done)](apply::Reply reply) mutable {
               if (reply.status == errors::AuthOldRevision() && may_be_new(*call, revision)) {
                 absl::StatusOr<wire::InternalRequest> parts = wire::unwrap_internal(entry.bytes);
                 CHECK(parts.ok());
                 return propose_for(std::move(call), entry.kind, {parts->body, 0, entry.hidden},
                                    entry.cost, std::move(done));
               }
               done(std::move(reply));
             });
}

// Nothing was done of what was refused. A token that names its revision stays old, as etcd has it.
bool Context::may_be_new(const net::ServerCall& call, uint64_t revision) {
  if (call.over()) return false;
  absl::StatusOr<auth::Identity> asks = who(call);
  return asks.ok() && asks->revision > revision;
}

void Context::propose(net::CallRef call, wire::InternalKind kind, const Encoded& request,
                      int64_t cost) {
  const MonotonicTime start = lane(*call).loop.now();
  propose_for(call, kind, request, cost, [this, call, kind, start](apply::Reply reply) {
    proposal_done(lane(*call), kind, start, reply.status.ok());
    answer(*call, std::move(reply));
  });
}

// A version that is yet to be decided is nobody's; and down it goes when the members do.
bool Context::may_have_old_members() const {
  constexpr membership::Version kLooksEverywhere{3, 7, 0};
  const std::shared_ptr<const membership::View> view = node_.members().view();
  if (view->members.size() < 2) return false;
  const std::optional<membership::Version> version =
      membership::Version::parse(view->cluster_version);
  return !version || *version < kLooksEverywhere || view->downgrade.enabled;
}

absl::StatusOr<bool> Context::hide_ranges(const net::ServerCall& call,
                                          etcdserverpb::TxnRequest& txn) {
  if (!may_have_old_members()) return false;
  return apply::hide_ranges(txn, access_.may_be_somebody(call) ? apply::Refusable::kForKeys
                                                               : apply::Refusable::kForRevision);
}

void Context::hold_until_token_known(const net::CallRef& call) {
  Lane& on = lane(*call);
  const uint64_t applied = node_.state().applied.load(std::memory_order_acquire);
  if (!access_.may_come(on.access, *call, applied)) return;
  call->set_reading(false);
  on.gateway->read(origin(*call), [call](absl::Status) { call->set_reading(true); });
}

absl::StatusOr<Context::Asker> Context::user_of(const net::ServerCall& call) {
  if (absl::Status s = require_user(call); !s.ok()) return s;
  absl::StatusOr<auth::Identity> asks = who(call);
  if (!asks.ok()) return asks.status();
  return Asker{std::string(asks->user), asks->revision};
}

absl::StatusOr<Context::ReadRight> Context::may_read(const net::ServerCall& call,
                                                     std::string_view key,
                                                     std::string_view range_end) {
  return may_read(call,
                  [&](const apply::Permits& permits) { return permits.range(key, range_end); });
}

absl::StatusOr<Context::ReadRight> Context::may_read(const net::ServerCall& call,
                                                     const etcdserverpb::TxnRequest& txn) {
  return may_read(call, [&](const apply::Permits& permits) { return permits.txn(txn); });
}

absl::StatusOr<Context::ReadRight> Context::may_read(
    const net::ServerCall& call, absl::FunctionRef<absl::Status(const apply::Permits&)> ask) {
  absl::StatusOr<auth::Identity> asks = who(call);
  if (!asks.ok()) return asks.status();
  const auth::Rules& rules = *lane(call).access.rules;
  if (absl::Status s = ask(apply::Permits(rules, *asks, nullptr)); !s.ok()) return s;
  if (asks->revision == 0) return ReadRight();
  // A token of a time to come: etcd looks for the same revision, not for a newer one.
  if (asks->revision > rules.revision()) return errors::AuthOldRevision();
  return ReadRight{rules.revision()};
}

void Context::proposal_done(Lane& lane, wire::InternalKind kind, MonotonicTime start, bool ok) {
  if (observer_) observer_->request_done(kind, false, ok, lane.loop.now() - start);
}

// The loop's clock stands still while the loop works, so a read that began in this turn of it began
// no earlier than the last one ended: one look at the clock per read tells both.
void Context::read_done(const net::ServerCall& call, wire::InternalKind kind, MonotonicTime start,
                        const absl::StatusOr<apply::Reply>& reply,
                        const MonotonicTime* began_elsewhere) {
  Lane& on = lane(call.loop());
  MonotonicTime end = node_.clock().now();
  MonotonicTime began =
      began_elsewhere ? *began_elsewhere : std::max(on.loop.now(), on.last_read_end);
  on.last_read_end = end;
  if (observer_) {
    observer_->request_done(kind, true, reply.ok(), end - start);
    if (kind == wire::InternalKind::kRange) observer_->range_read(reply.ok(), end - began);
  }
  warn_slow_read(call, kind, end - start, reply);
}

void Context::warn_slow_read(const net::ServerCall& call, wire::InternalKind kind, Duration took,
                             const absl::StatusOr<apply::Reply>& reply) {
  if (limits_.warning_apply_duration <= Duration(0)) return;
  if (took <= limits_.warning_apply_duration) return;
  if (observer_) observer_->slow_read();
  if (!may_warn(lines_)) return;
  const bool range = kind == wire::InternalKind::kRange;
  apply::SlowRequest slow{.took = took,
                          .expected = limits_.warning_apply_duration,
                          .prefix = range ? "read-only range " : "read-only txn ",
                          .status = reply.status()};
  if (call.kept_request()) slow.request = apply::request_text(kind, call.kept_request()->bytes);
  if (reply.ok()) {
    slow.response = range ? apply::range_answer_text(*reply) : apply::txn_answer_text(*reply);
  }
  apply::warn_slow(slow, lines_);
}

void Context::answer(net::ServerCall& call, apply::Reply reply) {
  if (!reply.status.ok()) return call.fail(std::move(reply.status));
  call.respond(respond(reply.revision, std::move(reply.body)));
}

}  // namespace keelson::rpc
