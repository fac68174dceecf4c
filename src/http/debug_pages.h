// http/debug_pages.h
//
// /debug/requests and /debug/events, which are there with --log-level=debug only, for whoever may
// ask for /debug/vars. Source: etcd v3.7.1, server/embed/etcd.go and serve.go.
//
// Threads: handle() on the listener's loops. Each loop tells what it knows in a turn of its own;
//   the page is put together and written on the lane that is given.
// Bounds: one page at a time, with a rest after it, so that loops are not asked all the time;
//   kMostWaiting may wait or be made, who comes beyond that gets 503.
// Lifetime: outlives the listener; the loops and the lane end before this and the traces go.

#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "http/call_traces.h"
#include "http/front_door.h"
#include "http/trace_html.h"
#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"

namespace keelson::http {

class DebugPages final : public net::HttpHandler {
 public:
  struct Parts {
    const FrontDoor& door;
    const CallTraces& traces;
    net::LoopPool& loops;
    const Clock& clock;  // the system's
    Executor& lane;
  };
  static constexpr int kMostWaiting = 16;

  explicit DebugPages(Parts parts) : parts_(parts) {}

  void add_to(net::Router& router);
  // Before the listeners start: these addresses are about to be served, with the router's services.
  void serving(const std::vector<std::string>& addresses, const net::Router& router);

  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  struct Asked;
  using AskedRef = std::shared_ptr<Asked>;

  // On the lane.
  void next();
  void gather(const AskedRef& asked);
  void write(const AskedRef& asked);
  void made(const AskedRef& asked, std::string page);
  static void answer(const AskedRef& asked, int status, std::string_view type,
                     std::string_view page);

  const Parts parts_;
  std::vector<EventLog> logs_;  // newest first
  std::atomic<int> waiting_{0};
  // The lane's.
  std::deque<AskedRef> asked_;
  bool busy_ = false;  // makes a page, or rests
};

}  // namespace keelson::http
