#include "server/auto_compaction.h"

#include <algorithm>
#include <utility>

#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "rpc/spans.h"

namespace keelson::server {
namespace {

constexpr Duration kRevisionInterval = minutes(5);
constexpr int kPartsOfPeriod = 10;

Duration at_most_an_hour(Duration period) { return std::min<Duration>(period, hours(1)); }

}  // namespace

CompactionSchedule::CompactionSchedule(const Config::AutoCompaction& rule, MonotonicTime start)
    : rule_(rule), last_success_(start), wait_(rule.period) {}

Duration CompactionSchedule::interval() const {
  return rule_.by_revision ? kRevisionInterval : at_most_an_hour(rule_.period) / kPartsOfPeriod;
}

void CompactionSchedule::note(int64_t revision) {
  if (rule_.by_revision) return;
  seen_.push_back(revision);
  size_t most = static_cast<size_t>(rule_.period / interval()) + 1;
  if (seen_.size() > most) seen_.pop_front();
}

std::optional<int64_t> CompactionSchedule::tick(MonotonicTime now, int64_t revision) {
  int64_t target;
  if (rule_.by_revision) {
    target = revision - rule_.revisions;
    if (target <= 0) return std::nullopt;
  } else {
    target = seen_.front();
    if (now - last_success_ < wait_) return std::nullopt;
  }
  if (target == last_revision_) return std::nullopt;
  // Once the first whole period has passed, by age goes on every hour at the least.
  wait_ = at_most_an_hour(rule_.period);
  return target;
}

void CompactionSchedule::succeeded(int64_t at_revision, MonotonicTime now) {
  last_revision_ = at_revision;
  last_success_ = now;
}

AutoCompaction::AutoCompaction(const Config::AutoCompaction& rule, rpc::Context& context)
    : context_(context), schedule_(rule, context.node().clock().now()) {}

void AutoCompaction::start() {
  context_.lanes().front()->loop.post([this] {
    schedule_.note(context_.node().store().revision());
    schedule();
  });
}

void AutoCompaction::schedule() {
  context_.lanes().front()->loop.post_after(schedule_.interval(), [this] { tick(); });
}

void AutoCompaction::tick() {
  node::Node& node = context_.node();
  std::optional<int64_t> target = schedule_.tick(node.clock().now(), node.store().revision());
  if (target && node.is_leader()) compact(*target);
  schedule_.note(node.store().revision());
  schedule();
}

void AutoCompaction::compact(int64_t revision) {
  log::info("starting auto compaction", {{"revision", revision}});
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  trace::SpanPtr span = rpc::make_own_span(context_.tracer(), request);
  if (span) span->event(trace::kProposed);
  context_.propose(*context_.lanes().front(), {}, wire::InternalKind::kCompaction,
                   request.SerializeAsString(), 0,
                   [this, revision, span = std::move(span)](apply::Reply reply) mutable {
                     if (span && rpc::is_applied(reply.status)) span->event(trace::kAnswered);
                     span.reset();
                     if (reply.status.ok() || reply.status == errors::Compacted()) {
                       log::info("completed auto compaction", {{"revision", revision}});
                       schedule_.succeeded(revision, context_.node().clock().now());
                     } else {
                       log::warn("failed auto compaction",
                                 {{"revision", revision}, {"error", message_of(reply.status)}});
                     }
                   });
}

}  // namespace keelson::server
