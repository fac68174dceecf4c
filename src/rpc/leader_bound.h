// rpc/leader_bound.h
//
// Streams whose clients want them only while there is a leader (metadata `hasleader`): they are cut
// once this member has known none for three election timeouts. New ones are refused at once
// (Context::admit); to cut one costs its client more, so that is not done in haste.
//
// Threads: one lane's loop.
// Source: etcd v3.7.1, monitorLeader in server/etcdserver/api/v3rpc/interceptor.go.

#pragma once

#include <functional>
#include <list>
#include <optional>

#include "base/clock.h"
#include "net/grpc.h"
#include "net/loop.h"
#include "node/member_state.h"

namespace keelson::rpc {

class LeaderBounds {
 public:
  using Cut = std::function<void()>;

  // Both outlive this.
  LeaderBounds(net::Loop& loop, const node::MemberState& state, Duration election_timeout)
      : loop_(loop), state_(state), election_timeout_(election_timeout) {}

  // A stream is bound as long as its Bound lives. It goes before the LeaderBounds.
  class Bound {
   public:
    Bound() = default;
    ~Bound() { release(); }
    Bound(const Bound&) = delete;
    Bound& operator=(const Bound&) = delete;

   private:
    friend class LeaderBounds;
    void release();
    LeaderBounds* of_ = nullptr;
    std::list<Cut>::iterator place_;
  };

  // If the call asks for it: `cut` is called once when there has been no leader for long. It may
  // end the stream, and the Bound with it.
  void bind(const net::ServerCall& call, Cut cut, Bound* bound);

 private:
  void watch();
  void look();

  net::Loop& loop_;
  const node::MemberState& state_;
  const Duration election_timeout_;
  std::list<Cut> streams_;
  bool watching_ = false;   // while there are streams; a timer is set
  int without_leader_ = 0;  // looks in a row
};

}  // namespace keelson::rpc
