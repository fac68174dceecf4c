#include "rpc/reconfiguration.h"

#include <algorithm>
#include <utility>

#include "base/errors.h"
#include "base/line_budget.h"
#include "base/log.h"
#include "base/text.h"
#include "rpc/at_leader.h"

namespace keelson::rpc {
namespace {

// etcd's HealthInterval.
constexpr Duration kHealthy = std::chrono::seconds(5);
// etcd's readyPercentThreshold.
constexpr double kReady = 0.9;

std::string hex(MemberId id) { return absl::StrCat(absl::Hex(id.value)); }

size_t voters(const membership::View& view) {
  return static_cast<size_t>(std::count_if(view.members.begin(), view.members.end(),
                                           [](const auto& member) { return !member.is_learner; }));
}

// How a learner stands, by what the leader knows of it.
absl::Status judge(const raft::Status& status, MemberId id, LineBudget* lines) {
  if (status.soft_state.state != raft::StateType::kLeader) return errors::NotLeader();
  const raft::tracker::Progress* learner = nullptr;
  const raft::tracker::Progress* leader = nullptr;
  for (const auto& [member, progress] : status.progress) {
    if (member == id) learner = &progress;
    if (member == status.id) leader = &progress;
  }
  if (!learner || !leader) return errors::MemberNotFound();
  const double share =
      static_cast<double>(learner->match().value) / static_cast<double>(leader->match().value);
  if (share >= kReady) return absl::OkStatus();
  if (take_line(lines, kUsualLine)) {
    log::error("rejecting promote learner: learner is not ready",
               {{"learner-ready-percent", share}, {"ready-percent-threshold", kReady}});
  }
  return errors::LearnerNotReady();
}

// etcd's server answers with the form that the error has in its clients, of which gRPC knows no
// code.
absl::Status not_enough_started() {
  return absl::UnknownError(errors::MemberNotEnoughStarted().message());
}

bool is_promotions_answer(const absl::Status& status) {
  return status == errors::MemberNotFound() || status == errors::MemberNotLearner() ||
         status == errors::LearnerNotReady();
}

}  // namespace

// Voters that this member hears of, itself included.
size_t Reconfiguration::connected(const membership::View& view) const {
  const MonotonicTime since = context_.node().clock().now();
  size_t count = 0;
  for (const membership::Member& member : view.members) {
    if (member.is_learner) continue;
    if (member.id == context_.node().member()) {
      ++count;
    } else if (Others* others = context_.others()) {
      const std::optional<MonotonicTime> active = others->active_since(member.id);
      if (active && since - *active > kHealthy) ++count;
    }
  }
  return count;
}

absl::Status Reconfiguration::may_add(const membership::Member& member) const {
  if (!context_.limits().strict_reconfiguration) return absl::OkStatus();
  const std::shared_ptr<const membership::View> view = context_.node().members().view();
  if (!member.is_learner && !membership::may_add_voter(*view, context_.lines())) {
    return not_enough_started();
  }
  const size_t now = voters(*view);
  if (now == 1 || connected(*view) >= (now + 1) / 2 + 1) return absl::OkStatus();
  if (!take_line(context_.lines(), kUsualLine)) return errors::Unhealthy();
  log::warn(
      "rejecting member add request; local member has not been connected to majority peers, "
      "reconfigure breaks active quorum",
      {{"local-member-id", hex(context_.node().member())},
       {"requested-member-add", hex(member.id)}});
  return errors::Unhealthy();
}

absl::Status Reconfiguration::may_remove(MemberId id) const {
  if (!context_.limits().strict_reconfiguration) return absl::OkStatus();
  const std::shared_ptr<const membership::View> view = context_.node().members().view();
  const membership::Member* member = view->find(id);
  if (member && member->is_learner) return absl::OkStatus();
  if (!membership::may_remove_voter(*view, id, context_.lines())) return not_enough_started();
  // Who is down takes no part in the quorum.
  const bool self = id == context_.node().member();
  Others* others = context_.others();
  if (!self && !(others && others->active_since(id))) return absl::OkStatus();
  const size_t active = connected(*view);
  if (active - 1 >= 1 + (voters(*view) - 1) / 2) return absl::OkStatus();
  if (!take_line(context_.lines(), kUsualLine)) return errors::Unhealthy();
  log::warn(
      "rejecting member remove request; local member has not been connected to all peers, "
      "reconfigure breaks active quorum",
      {{"local-member-id", hex(context_.node().member())},
       {"requested-member-remove", hex(id)},
       {"active-peers", active}});
  return errors::Unhealthy();
}

void Reconfiguration::propose(Lane& lane, Origin from, raft::ConfChange change, Done done) {
  change.id = lane.ids.next();
  lane.gateway->propose_change(from, change,
                               [this, type = change.type, id = change.node_id,
                                done = std::move(done)](apply::Reply reply) mutable {
                                 if (!reply.status.ok()) return done(std::move(reply.status));
                                 if (take_line(context_.lines(), kUsualLine)) {
                                   log::info("applied a configuration change through raft",
                                             {{"local-member-id", hex(context_.node().member())},
                                              {"raft-conf-change", raft::name_of(type)},
                                              {"raft-conf-change-node-id", hex(id)}});
                                 }
                                 done(context_.node().members().view()->members);
                               });
}

void Reconfiguration::add(Lane& lane, Origin from, const membership::Member& member, Done done) {
  if (absl::Status s = may_add(member); !s.ok()) return done(std::move(s));
  const auto type =
      member.is_learner ? raft::ConfChangeType::kAddLearnerNode : raft::ConfChangeType::kAddNode;
  propose(lane, from,
          {.type = type, .node_id = member.id, .context = membership::encode_context(member)},
          std::move(done));
}

void Reconfiguration::remove(Lane& lane, Origin from, MemberId id, Done done) {
  if (absl::Status s = may_remove(id); !s.ok()) return done(std::move(s));
  propose(lane, from, {.type = raft::ConfChangeType::kRemoveNode, .node_id = id}, std::move(done));
}

void Reconfiguration::update(Lane& lane, Origin from, MemberId id,
                             std::vector<std::string> peer_urls, Done done) {
  const membership::Member member{.id = id, .peer_urls = std::move(peer_urls)};
  propose(lane, from,
          {.type = raft::ConfChangeType::kUpdateNode,
           .node_id = id,
           .context = membership::encode_context(member)},
          std::move(done));
}

// Behind what is committed, so that a member just added is known to raft.
void Reconfiguration::judge_progress(Lane& lane, Origin from, MemberId id,
                                     absl::AnyInvocable<void(absl::Status)> done) {
  if (!context_.node().is_leader()) return done(errors::NotLeader());
  lane.gateway->read(from, [this, &lane, id, done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    context_.node().consensus().with_core(
        [this, &lane, id, done = std::move(done)](raft::RawNode& core) mutable {
          lane.loop.post([judged = judge(core.status(), id, context_.lines()),
                          done = std::move(done)]() mutable { done(std::move(judged)); });
        });
  });
}

void Reconfiguration::promote_here(Lane& lane, Origin from, MemberId id, Done asked) {
  auto done = [this, asked = std::move(asked)](absl::StatusOr<Members> members) mutable {
    RequestObserver* observer = context_.observer();
    if (observer && members.status() != errors::NotLeader()) observer->promoted(members.status());
    asked(std::move(members));
  };
  judge_progress(
      lane, from, id, [this, &lane, from, id, done = std::move(done)](absl::Status ready) mutable {
        if (!ready.ok()) return done(std::move(ready));
        if (context_.limits().strict_reconfiguration &&
            !membership::may_promote(*context_.node().members().view(), context_.lines())) {
          return done(not_enough_started());
        }
        propose(lane, from,
                {.type = raft::ConfChangeType::kAddNode,
                 .node_id = id,
                 .context = membership::encode_promotion(id)},
                std::move(done));
      });
}

void Reconfiguration::promote(Lane& lane, Origin from, MemberId id, std::string token, Done done) {
  AtLeader<Members>::Question question{
      .here = [this, &lane, from, id](Done done) { promote_here(lane, from, id, std::move(done)); },
      .there =
          [this, id, token = std::move(token)](const membership::Member& leader, Duration timeout,
                                               Done done) {
            context_.others()->promote(id, token, leader, timeout, std::move(done));
          },
      .is_answer = is_promotions_answer};
  AtLeader<Members>::ask(context_, lane, std::move(question), std::move(done));
}

}  // namespace keelson::rpc
