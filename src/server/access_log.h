// server/access_log.h
//
// AccessLog writes a line for each call of a client that has ended (--keelson-access-log): who,
// what, how long (server/access_line.h). A stream has one when it begins and one when it ends. A
// call is what etcd's metrics count as one: a request that no method has got is none.
//
// Who: the user by the token or the certificate, as the services see it, where users matter; the
//   certificate's name beside it, whether it matters or not.
// Threads: record() on the loops, where lines are made and gathered; once in a while they go to the
//   output, which has a thread of its own. stop() once the loops have stopped and no call is left.
// Bounds: while the output has as much to write as it may, calls get no lines. They are counted,
//   and the log says so.
// Lifetime: made before clients are served; outlives the listeners. Nothing is recorded once the
//   loops have stopped, so the context may go then.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/call_record.h"
#include "net/loop.h"
#include "rpc/context.h"
#include "server/access_line.h"
#include "server/access_output.h"

namespace keelson::server {

class AccessLog final : public net::CallRecorder {
 public:
  // The methods are those that `router` has now. `keys`: whether keys are told.
  AccessLog(rpc::Context& context, const net::Router& router, net::LoopPool& loops,
            const Clock& clock, AccessOutput& output, bool keys);
  ~AccessLog() override;

  std::unique_ptr<net::CallRecord> record(const net::ServerCall& call, Door door) override;

  // Hands over what is gathered.
  void stop();

 private:
  class Record;
  // One loop's.
  struct Lane {
    std::string text;
    uint64_t lines = 0;
    uint64_t dropped = 0;  // for which there was no room, since the output was told last
    bool timer_set = false;
    int64_t second = -1;  // of which `time` begins with
    std::string time;
  };

  RequestForm form_of(const net::MethodInfo& method) const;
  // Empty: nobody is known.
  std::string user_of(const net::ServerCall& call) const;
  // `line` but for its time.
  void add(net::Loop& loop, AccessLine line);
  void hand_over(Lane& lane);
  std::string_view time_text(Lane& lane);

  rpc::Context* const context_;
  const Clock& clock_;
  AccessOutput& output_;
  const bool keys_;
  std::vector<RequestForm> forms_;  // by MethodInfo::index
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace keelson::server
