// The Maintenance service, but for snapshots.

#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apply/decode.h"
#include "base/errors.h"
#include "base/line_budget.h"
#include "base/log.h"
#include "base/text.h"
#include "node/hash_queue.h"
#include "proto/membership.pb.h"
#include "rpc/canonical.h"
#include "rpc/health.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using wire::InternalKind;

// The cluster's alarms, and NOSPACE of this member while its disk is full: that one could not be
// written to the log, and goes by itself.
std::vector<apply::Alarm> alarms_of(node::Node& node, const apply::Applier& applier) {
  std::vector<apply::Alarm> out;
  for (const apply::Alarm& alarm : applier.alarms().get(pb::NONE)) out.push_back(alarm);
  bool told = std::any_of(out.begin(), out.end(), [&](const apply::Alarm& alarm) {
    return alarm.member == node.member() && alarm.type == pb::NOSPACE;
  });
  if (node.state().no_space() && !told) out.push_back({pb::NOSPACE, node.member()});
  return out;
}

// As protobuf prints it in etcd 3.5, with a blank at the end: 3.7's prints one blank or two between
// the fields, as the build has it, so that nobody relies on them.
std::string text_of(const apply::Alarm& alarm) {
  std::string text;
  if (alarm.member != MemberId(0)) text = cat("memberID:", alarm.member.value, " ");
  if (alarm.type != pb::NONE) text += cat("alarm:", pb::AlarmType_Name(alarm.type), " ");
  return text;
}

class Alarm final : public Unary {
 public:
  using Unary::Unary;

 private:
  // Alarms may name members that there are none of, as in etcd, where nothing bounds them. Every
  // change publishes the whole list, and every member keeps it: one for each type and each member
  // of any cluster has room in this. Decided here and not in apply, where members must agree.
  static constexpr size_t kMostAlarms = 1000;

  // Those that are on their way come on top.
  bool has_room_for(const apply::Alarm& alarm) const {
    const auto standing = context_.node().alarms().all();
    return standing->size() < kMostAlarms ||
           std::find(standing->begin(), standing->end(), alarm) != standing->end();
  }

  void run(net::CallRef call, Bytes bytes) override {
    pb::AlarmRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    // Everybody who is somebody may look.
    absl::Status may = request.action() == pb::AlarmRequest::GET ? context_.require_user(*call)
                                                                 : context_.require_admin(*call);
    if (!may.ok()) return call->fail(std::move(may));
    // With no space for the log, the list cannot go through it; and this alarm is in no log.
    if (request.action() == pb::AlarmRequest::GET && context_.node().state().no_space()) {
      return list_here(std::move(call), request.alarm());
    }
    if (request.action() == pb::AlarmRequest::ACTIVATE &&
        !has_room_for({request.alarm(), MemberId(request.memberid())})) {
      return call->fail(absl::ResourceExhaustedError(
          cat("etcdserver: too many alarms (", kMostAlarms, "), disarm some")));
    }
    context_.propose(std::move(call), wire::InternalKind::kAlarm,
                     {canonical(request), bytes.size()});
  }

  void list_here(net::CallRef call, pb::AlarmType type) {
    context_.node().apply_lane().run([this, call, type](apply::Applier& applier) {
      pb::AlarmResponse response;
      for (const apply::Alarm& alarm : alarms_of(context_.node(), applier)) {
        if (type != pb::NONE && alarm.type != type) continue;
        pb::AlarmMember* member = response.add_alarms();
        member->set_memberid(alarm.member.value);
        member->set_alarm(alarm.type);
      }
      net::ServerCall::respond_later(
          call, context_.respond(0, Parts::copy(response.SerializeAsString())));
    });
  }
};

class Status final : public Unary {
 public:
  Status(Context& context, StatusFacts facts)
      : Unary(context, Context::Learners::kServe), facts_(std::move(facts)) {}

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::StatusRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_user(*call); !s.ok()) return call->fail(std::move(s));
    // The alarms are the apply lane's.
    context_.node().apply_lane().run([this, call](apply::Applier& applier) {
      net::ServerCall::respond_later(
          call, context_.respond(0, Parts::copy(describe(applier).SerializeAsString())));
    });
  }

  pb::StatusResponse describe(apply::Applier& applier) {
    node::Node& node = context_.node();
    const node::MemberState& status = node.state();
    pb::StatusResponse response;
    response.set_version(facts_.version);
    response.set_dbsize(static_cast<int64_t>(node.backend()->size_on_disk()));
    response.set_dbsizeinuse(static_cast<int64_t>(node.backend()->size_in_use()));
    response.set_leader(status.leader.load());
    response.set_raftindex(status.committed.load());
    response.set_raftappliedindex(status.applied.load());
    response.set_raftterm(status.term.load());
    response.set_islearner(status.is_learner.load());
    response.set_storageversion(storage_version(node));
    response.set_dbsizequota(facts_.quota_bytes);
    const membership::Downgrade downgrade = node.members().view()->downgrade;
    response.mutable_downgradeinfo()->set_enabled(downgrade.enabled);
    response.mutable_downgradeinfo()->set_targetversion(downgrade.target);
    if (response.leader() == 0) response.add_errors("etcdserver: no leader");
    for (const apply::Alarm& alarm : alarms_of(node, applier)) {
      response.add_errors(text_of(alarm));
    }
    return response;
  }

  const StatusFacts facts_;
};

class Defragment final : public Unary {
 public:
  Defragment(Context& context, Health& health) : Unary(context), health_(health) {}

 private:
  // Beside everything else: nobody waits but who asked.
  void run(net::CallRef call, Bytes bytes) override {
    pb::DefragmentRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    // Of both lines, as of neither: the second may come when the lanes have gone.
    const bool tells = take_line(context_.lines(), 2 * kUsualLine);
    if (tells) log::info("starting defragment");
    // Both outlive the node, and what it calls at its end.
    const Clock& clock = context_.node().clock();
    RequestObserver* observer = context_.observer();
    if (observer) observer->defragmenting();
    context_.node().defragment([call, observer, &clock, tells, start = clock.now(),
                                health = health_.defragmenting()](absl::Status status) mutable {
      health.reset();  // who is answered finds the server serving
      if (observer) observer->defragmented(status.ok(), clock.now() - start);
      if (!status.ok()) {
        if (tells) log::warn("failed to defragment", {{"error", message_of(status)}});
        return net::ServerCall::fail_later(call, status);
      }
      if (tells) log::info("finished defragment");
      net::ServerCall::respond_later(call, {});
    });
  }

  Health& health_;
};

constexpr size_t kSlice = 4096;  // records

// Puts a hash into its queue; when the client leaves, it does, too.
void enqueue(node::HashQueue& queue, net::CallRef call,
             std::unique_ptr<node::HashQueue::Work> work) {
  if (!queue.add(std::move(work))) return call->fail(errors::RequestTooManyRequests());
  call->on_cancel([&queue] { queue.sweep(); });
}

// A hash that a call waits for. The first slice takes the state that is hashed.
class HashWork : public node::HashQueue::Work {
 public:
  HashWork(Context& context, net::CallRef call) : context_(context), call_(std::move(call)) {}
  bool wanted() const final { return !call_->over(); }
  bool step() final {
    if (!begun_) begun_ = context_.node().clock().now();
    absl::StatusOr<bool> done = slice();
    if (!done.ok()) net::ServerCall::fail_later(call_, done.status());
    return !done.ok() || *done;
  }

 protected:
  // True when done, and answered.
  virtual absl::StatusOr<bool> slice() = 0;
  void answer(bool all, int64_t revision, const google::protobuf::MessageLite& response) {
    if (RequestObserver* observer = context_.observer()) {
      observer->hashed(all, context_.node().clock().now() - *begun_);
    }
    net::ServerCall::respond_later(
        call_, context_.respond(revision, Parts::copy(response.SerializeAsString())));
  }
  Context& context_;

 private:
  const net::CallRef call_;
  std::optional<MonotonicTime> begun_;
};

class HashAllWork final : public HashWork {
 public:
  using HashWork::HashWork;

 private:
  absl::StatusOr<bool> slice() override {
    if (!job_) {
      revision_ = context_.node().store().revision();
      backend_ = context_.node().backend();
      snapshot_ = backend_->snapshot();
      job_.emplace(*snapshot_);
    }
    absl::StatusOr<bool> done = job_->step(kSlice);
    if (!done.ok() || !*done) return done;
    pb::HashResponse response;
    response.set_hash(job_->result());
    answer(true, revision_, response);
    return true;
  }

  int64_t revision_ = 0;
  // The node may get another one meanwhile.
  std::shared_ptr<backend::Backend> backend_;
  std::shared_ptr<const backend::Snapshot> snapshot_;
  std::optional<backend::HashAllJob> job_;
};

class HashKvWork final : public HashWork {
 public:
  HashKvWork(Context& context, net::CallRef call, int64_t revision)
      : HashWork(context, std::move(call)), revision_(revision) {}

 private:
  absl::StatusOr<bool> slice() override {
    if (!job_) {
      absl::StatusOr<std::unique_ptr<mvcc::HashKvJob>> job =
          context_.node().store().hash_kv(revision_);
      if (!job.ok()) return job.status();
      job_ = *std::move(job);
    }
    absl::StatusOr<bool> done = job_->step(kSlice);
    if (!done.ok() || !*done) return done;
    const mvcc::KvHash hash = job_->result();
    pb::HashKVResponse response;
    response.set_hash(hash.hash);
    response.set_compact_revision(hash.compact_revision);
    response.set_hash_revision(hash.hash_revision);
    answer(false, hash.current_revision, response);
    return true;
  }

  const int64_t revision_;
  std::unique_ptr<mvcc::HashKvJob> job_;
};

class Hash final : public Unary {
 public:
  explicit Hash(Context& context)
      : Unary(context), queue_(context.node().background(), context.node().clock()) {}

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::HashRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    enqueue(queue_, call, std::make_unique<HashAllWork>(context_, call));
  }

  node::HashQueue queue_;
};

class HashKv final : public Unary {
 public:
  explicit HashKv(Context& context)
      : Unary(context), queue_(context.node().background(), context.node().clock()) {}

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::HashKVRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    enqueue(queue_, call, std::make_unique<HashKvWork>(context_, call, request.revision()));
  }

  node::HashQueue queue_;
};

class MoveLeader final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::MoveLeaderRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    node::Node& node = context_.node();
    if (!node.is_leader()) return call->fail(errors::NotLeader());
    std::shared_ptr<const membership::View> view = node.members().view();
    const MemberId to(request.targetid());
    const membership::Member* target = view->find(to);
    if (!target || target->is_learner) return call->fail(errors::BadLeaderTransferee());
    node.hand_over_leadership(to, context_.request_timeout(), [call](absl::Status status) {
      if (!status.ok()) return net::ServerCall::fail_later(call, std::move(status));
      net::ServerCall::respond_later(call, {});
    });
  }
};

class Downgrade final : public Unary {
 public:
  using Unary::Unary;

 private:
  using Target = std::optional<membership::Version>;

  void run(net::CallRef call, Bytes bytes) override {
    pb::DowngradeRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (absl::Status s = context_.require_admin(*call); !s.ok()) return call->fail(std::move(s));
    const Target target = membership::Version::parse_short(request.version());
    switch (request.action()) {
      case pb::DowngradeRequest::VALIDATE:
      case pb::DowngradeRequest::ENABLE:
        if (!target) return call->fail(errors::WrongDowngradeVersionFormat());
        return begin(std::move(call), target->release(),
                     request.action() == pb::DowngradeRequest::ENABLE);
      case pb::DowngradeRequest::CANCEL:
        return cancel(std::move(call));
      default:
        call->fail(absl::UnknownError("etcdserver: unknown method"));
    }
  }

  // Behind what is committed, so that no downgrade is overlooked.
  void begin(net::CallRef call, membership::Version target, bool enable) {
    if (context_.node().members().view()->cluster_version.empty()) {
      return call->fail(errors::ClusterVersionUnavailable());
    }
    context_.lane(*call).gateway->read(
        context_.origin(*call), [this, call, target, enable](absl::Status status) {
          if (status.ok()) status = check(target);
          if (!status.ok()) {
            if (enable && take_line(context_.lines(), kUsualLine)) {
              log::warn("reject downgrade request", {{"error", message_of(status)}});
            }
            return call->fail(std::move(status));
          }
          if (!enable) return answer(*call);
          propose(call, true, target.str());
        });
  }

  absl::Status check(membership::Version target) const {
    const std::shared_ptr<const membership::View> view = context_.node().members().view();
    const Target now = membership::Version::parse(view->cluster_version);
    if (!now || target != membership::downgrade_target(*now)) {
      return errors::InvalidDowngradeTargetVersion();
    }
    return view->downgrade.enabled ? errors::DowngradeInProcess() : absl::OkStatus();
  }

  // As with etcd, to call off what is not under way is no error but a line in the log.
  void cancel(net::CallRef call) {
    context_.lane(*call).gateway->read(context_.origin(*call), [this, call](absl::Status status) {
      if (status.ok() && !context_.node().members().view()->downgrade.enabled) {
        status = errors::NoInflightDowngrade();
      }
      if (status.ok()) return propose(call, false, "");
      if (take_line(context_.lines(), kUsualLine)) {
        log::warn("failed to cancel downgrade", {{"error", message_of(status)}});
      }
      answer(*call);
    });
  }

  void propose(net::CallRef call, bool enable, std::string target) {
    membershippb::DowngradeInfoSetRequest request;
    request.set_enabled(enable);
    request.set_ver(std::move(target));
    context_.propose_for_nobody(call, InternalKind::kDowngradeInfoSet, request.SerializeAsString(),
                                [this, call](apply::Reply reply) {
                                  if (!reply.status.ok())
                                    return call->fail(std::move(reply.status));
                                  answer(*call);
                                });
  }

  void answer(net::ServerCall& call) {
    pb::DowngradeResponse response;
    const std::string version = context_.node().members().view()->cluster_version;
    const Target parsed = membership::Version::parse(version);
    response.set_version(parsed ? parsed->brief() : version);
    call.respond(context_.respond(0, Parts::copy(response.SerializeAsString())));
  }
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_maintenance(Context& context,
                                                                     net::Router& router,
                                                                     net::MethodOptions max,
                                                                     StatusFacts facts,
                                                                     Health& health) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view path, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(path, handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("/etcdserverpb.Maintenance/Alarm", std::make_unique<Alarm>(context));
  add("/etcdserverpb.Maintenance/Status", std::make_unique<Status>(context, std::move(facts)));
  add("/etcdserverpb.Maintenance/Defragment", std::make_unique<Defragment>(context, health));
  add("/etcdserverpb.Maintenance/Hash", std::make_unique<Hash>(context));
  add("/etcdserverpb.Maintenance/HashKV", std::make_unique<HashKv>(context));
  add("/etcdserverpb.Maintenance/MoveLeader", std::make_unique<MoveLeader>(context));
  add("/etcdserverpb.Maintenance/Downgrade", std::make_unique<Downgrade>(context));
  return made;
}

}  // namespace keelson::rpc
