// node/versions.h
//
// Versions is the leader's watch over the version that the cluster speaks: it asks the other
// members for theirs, now and then, and proposes what follows from them (membership/version.h); and
// it calls a downgrade off once every member has arrived.
//
// Threads: the apply lane, but for Ask's answer. Lifetime: outlives the lane's tasks.
// Source: etcd v3.7.1, monitorClusterVersions and monitorDowngrade in server/etcdserver/server.go.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/ids.h"
#include "membership/cluster.h"
#include "wire/internal_request.h"

namespace keelson::node {

class Versions {
 public:
  // Of servers, one for each that was asked; nothing where one did not say.
  using List = std::vector<std::optional<membership::Version>>;
  // Asks these members. `done` is called once, on any thread.
  using Ask = std::function<void(std::vector<membership::Member>, absl::AnyInvocable<void(List)>)>;
  // Proposes as the leader; `done` follows on the lane.
  using Propose =
      std::function<void(wire::InternalKind, std::string, std::function<void(absl::Status)>)>;

  struct Options {
    Duration interval = std::chrono::seconds(4);
    Duration downgrade_interval = std::chrono::seconds(5);  // --downgrade-check-time; 0: never
  };

  Versions(Executor& lane, const membership::Cluster& members, MemberId self, Options options,
           Propose propose);

  // Before the member starts. Without it every member is taken to be as new as this one.
  void set_ask(Ask ask) { ask_ = std::move(ask); }

  // The member leads now, and has applied what came before; or leads no more.
  void lead(MonotonicTime now);
  void follow();
  // To be called twice a second or so.
  void look(MonotonicTime now);

 private:
  void ask(std::function<void(const List&)> then);
  void decide_version(const List& servers);
  void end_downgrade(const List& servers);
  void propose(wire::InternalKind kind, std::string request);

  Executor& lane_;
  const membership::Cluster& members_;
  const MemberId self_;
  const Options options_;
  const Propose propose_;
  Ask ask_;

  bool leading_ = false;
  bool busy_ = false;  // a question or a proposal is under way
  // The greatest asked for in this term without a downgrade; 0.0.0: none. It may have timed out and
  // come all the same.
  membership::Version asked_;
  MonotonicTime next_version_;
  MonotonicTime next_downgrade_;
};

}  // namespace keelson::node
