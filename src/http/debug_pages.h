// http/debug_pages.h
//
// /debug/requests and /debug/events, which are there with --log-level=debug only, for whoever may
// ask for /debug/vars. Source: etcd v3.7.1, server/embed/etcd.go and serve.go.
//
// Threads: handle() on the listener's loops. Each loop tells what it knows in a turn of its own;
//   the last one writes the page.
// Lifetime: outlives the listener; the loops end before the traces go.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
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
  };
  explicit DebugPages(Parts parts) : parts_(parts) {}

  void add_to(net::Router& router);
  // Before the listeners start: these addresses are about to be served, with the router's services.
  void serving(const std::vector<std::string>& addresses, const net::Router& router);

  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  struct Gathering;

  void gather(TracePage page, net::HttpReplyRef reply, std::vector<net::HttpField> fields);
  static void answer(const net::HttpReplyRef& reply, std::vector<net::HttpField> fields,
                     std::string page);

  const Parts parts_;
  std::vector<EventLog> logs_;  // newest first
};

}  // namespace keelson::http
